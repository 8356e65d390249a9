// The desktop window: commands go through Tauri's IPC, streams through its channels.
import { Channel, invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { CloseQuestion } from "./gen/CloseQuestion";
import { type Host, toUiError } from "./types";

export const host: Host = {
  async call(command, args) {
    try {
      return await invoke(command, args);
    } catch (thrown) {
      throw toUiError(thrown);
    }
  },
  stream(stream, args, onMessage, onEnd) {
    let open = true;
    const sink = new Channel<Parameters<typeof onMessage>[0]>((message) => {
      if (open) onMessage(message);
    });
    invoke(stream, { ...args, sink }).catch((thrown: unknown) => {
      if (open) onEnd?.(toUiError(thrown));
    });
    return () => {
      open = false;
      void invoke("stream_stop", { sink });
    };
  },
  onCloseAsked(listener) {
    const unlisten = listen<CloseQuestion>("close-asked", (event) => listener(event.payload));
    return () => void unlisten.then((stop) => stop());
  },
};
