// Copying to the clipboard, and saying for a moment that it was done.
import { useEffect, useState } from "react";

/** How long "Copied" stands, in milliseconds. */
const SHOWN = 4000;

export function useCopy(): [copied: boolean, copy: (text: string) => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), SHOWN);
    return () => clearTimeout(timer);
  }, [copied]);
  return [copied, (text) => void navigator.clipboard.writeText(text).then(() => setCopied(true))];
}
