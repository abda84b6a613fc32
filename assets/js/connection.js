// The state of the websocket, which Reflex's client reports (see server/reflex_patches.py), as the attribute
// data-connection of <html>: "lost" after it was open, else "blocked" or "unreachable". app.css shows what it means.
(() => {
  "use strict";

  const PATIENCE = 10_000;

  let wasOpen = false;
  let isOpen = false;

  const show = (state) => {
    if (state) document.documentElement.dataset.connection = state;
    else delete document.documentElement.dataset.connection;
  };

  // Where HTTP gets through and the websocket does not, something on the way blocks websockets.
  const explain = async () => {
    if (wasOpen) return show("lost");
    const answer = await fetch("/api/health", { cache: "no-store" }).catch(() => null);
    if (!isOpen) show(answer ? "blocked" : "unreachable");
  };

  addEventListener("load", () => setTimeout(() => isOpen || explain(), PATIENCE));

  Object.assign(window.tallybook, {
    isConnected: () => isOpen,
    connected: () => {
      isOpen = wasOpen = true;
      show("");
      window.tallybook.resendForms();
    },
    disconnected: () => {
      isOpen = false;
      window.tallybook.keepUnansweredForms();
    },
    connectionFailed: () => {
      isOpen = false;
      explain();
    },
    showUnreachable: () => show(wasOpen ? "lost" : "unreachable"),
  });
})();
