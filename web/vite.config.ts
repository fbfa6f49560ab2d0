import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// What is built is committed and lies in the wheel: the same sources give the same bytes,
// no source maps, nothing inline (the page's policy allows no inline script or style).
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/hocket/server/page",
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    reportCompressedSize: false,
    // One chunk a view: their names say what they are.
    rolldownOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
});
