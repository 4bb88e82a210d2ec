// Serves the page, and hands what is under /api to Wayleave, so that both have one origin.

import { defineConfig } from "vite";

const proxy = { "/api": { target: process.env.WAYLEAVE_URL ?? "http://127.0.0.1:8080" } };

/** What the built page may load and call: its own files, and the API. Argon2 and OPAQUE are WebAssembly. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const contentSecurityPolicy = {
  name: "content-security-policy",
  apply: "build",
  transformIndexHtml: () => [
    { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: policy }, injectTo: "head-prepend" },
  ],
};

export default defineConfig({
  plugins: [contentSecurityPolicy],
  build: { target: "es2022", modulePreload: { polyfill: false } },
  server: { proxy },
  preview: { proxy, headers: { "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY" } },
});
