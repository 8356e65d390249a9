// A fault in one screen leaves the others usable.
import { Component, type ReactNode } from "react";
import { ErrorCard } from "../design/ErrorCard";
import type { UiError } from "../host/gen/UiError";
import { toUiError } from "../host/types";

export class ErrorBoundary extends Component<{ children: ReactNode }, { error: UiError | null }> {
  override state: { error: UiError | null } = { error: null };

  static getDerivedStateFromError(thrown: unknown) {
    return { error: toUiError(thrown) };
  }

  override render() {
    const { error } = this.state;
    return error ? <ErrorCard error={error} onRetry={() => this.setState({ error: null })} /> : this.props.children;
  }
}
