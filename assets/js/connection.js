// Puts the state of the websocket into the attribute data-connection of <html>: "lost" if it was open before,
// otherwise "blocked" or "unreachable". app.css shows the matching notice. Reflex's client reports the state
// (see server/reflex_patches.py).
(() => {
  "use strict";

  const PATIENCE = 10_000;

  let wasOpen = false;
  let isOpen = false;

  const show = (state) => {
    if (state) document.documentElement.dataset.connection = state;
    else delete document.documentElement.dataset.connection;
  };

  // If HTTP works but the websocket doesn't, something between browser and server blocks websockets.
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
