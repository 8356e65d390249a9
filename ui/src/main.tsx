import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./design/fonts.css";
import "./design/global.css";
import "./i18n";
import { App } from "./app/App";
import { HostProvider, loadHost } from "./host";

const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, refetchOnWindowFocus: false, staleTime: 30_000 } },
});

const root = document.getElementById("root");
if (root) {
  const host = await loadHost();
  createRoot(root).render(
    <StrictMode>
      <HostProvider value={host}>
        <QueryClientProvider client={queries}>
          <App />
        </QueryClientProvider>
      </HostProvider>
    </StrictMode>,
  );
}
