import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `--mode fixture` builds or serves the window with recorded data instead of a backend (src/host/fixture.ts);
// the other modes leave that file out.
export default defineConfig(({ mode }) => ({
  plugins: [react()],
  clearScreen: false,
  server: { port: 5173, strictPort: true },
  build: {
    target: "es2022",
    outDir: mode === "fixture" ? "dist-fixture" : "dist",
    emptyOutDir: true,
    chunkSizeWarningLimit: 700,
    reportCompressedSize: false,
  },
  test: {
    environment: "jsdom",
    env: { TZ: "UTC" },
    // Clicks through dialogs take seconds on a machine that is busy with other builds.
    testTimeout: 30_000,
    setupFiles: ["src/test-setup.ts"],
    include: ["src/**/*.test.{ts,tsx}"],
    css: { modules: { classNameStrategy: "non-scoped" } },
  },
}));
