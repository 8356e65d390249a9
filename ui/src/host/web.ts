// The development harness: commands are POSTs to /rpc, streams are WebSockets. Used by tests in a browser.
import type { UiError } from "./gen/UiError";
import { type Host, toUiError } from "./types";

type Answer<T> = { ok: T } | { error: UiError };

const unreachable = (detail: string): UiError => ({
  code: "unreachable",
  title: "The harness does not answer.",
  detail,
  hint: "Start it with `cargo run -p harness`, then reload this page.",
  address: null,
  retryable: true,
  correlationId: null,
});

export const host: Host = {
  async call(command, args) {
    let answer: Answer<never>;
    try {
      const response = await fetch(`/rpc/${command}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(args),
      });
      answer = await response.json();
    } catch (thrown) {
      throw unreachable(toUiError(thrown).detail);
    }
    if ("error" in answer) throw answer.error;
    return answer.ok;
  },
  stream(stream, args, onMessage, onEnd) {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/stream`);
    let open = true;
    socket.onopen = () => socket.send(JSON.stringify({ command: stream, args }));
    socket.onmessage = (event) => {
      if (!open) return;
      const message = JSON.parse(String(event.data));
      if ("error" in message && !("type" in message)) onEnd?.(message.error);
      else onMessage("ok" in message && !("type" in message) ? message.ok : message);
    };
    socket.onerror = () => {
      if (open) onEnd?.(unreachable("The connection for live messages broke."));
    };
    return () => {
      open = false;
      socket.close();
    };
  },
  onCloseAsked: () => () => undefined,
};
