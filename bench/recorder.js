// Measures user actions in the browser, from the input to the frame that shows the complete result.
// bench/pages.py loads it before the pages' scripts and reads `tallybookBench`.
(() => {
  const LOADED = '"is_hydrated_rx_state_":true'; // in the server's last message after a page was opened
  const TOAST = "[data-sonner-toast]";
  const ANSWER_MAX = 30_000;
  let wanted, started, sent, answered, shown, settle, ended;

  const arm = (what, from) => {
    wanted = what;
    started = from;
    sent = answered = shown = undefined;
    ended = new Promise((resolve, reject) => {
      settle = resolve;
      setTimeout(() => reject(new Error(`no ${what} within ${ANSWER_MAX} ms`)), ANSWER_MAX);
    });
  };
  const isWatching = () => settle && started !== undefined;

  const whenPainted = (work) =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => work(performance.now());
      port2.postMessage(undefined);
    });

  const end = () => {
    const resolve = settle;
    settle = undefined;
    // The response is rendered within two frames. A response that changes nothing counts too.
    whenPainted((at) =>
      whenPainted(() => resolve({ shown: Math.max(at, shown ?? 0) - started, server: sent ? answered - sent : 0 })),
    );
  };

  for (const input of ["click", "change", "submit"]) {
    addEventListener(input, (event) => settle && (started ??= event.timeStamp), true);
  }

  const isEvent = (message) => isWatching() && String(message).startsWith("42");

  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (!isEvent(data)) return;
        answered = performance.now();
        if (wanted === "load" && data.includes(LOADED)) end();
      });
    }

    send(message) {
      if (isEvent(message)) sent ??= performance.now();
      super.send(message);
    }
  };

  const isOrHasToast = (node) => node.nodeType === Node.ELEMENT_NODE && (node.matches(TOAST) || node.querySelector(TOAST));

  new MutationObserver((changes) => {
    if (started === undefined) return;
    whenPainted((at) => (shown = at));
    if (!settle) return;
    if (wanted === "toast" && changes.some(({ addedNodes }) => [...addedNodes].some(isOrHasToast))) end();
    if (wanted === "text" && changes.some(({ type }) => type === "characterData")) end();
    if (wanted === "dialog" && changes.some(({ target }) => target.matches?.("dialog[open]"))) end();
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });

  arm("load", 0); // from the start of the navigation to this page
  window.tallybookBench = {
    arm: (what) => arm(what),
    ended: () => ended,
    navigate: (path) => {
      started = performance.now();
      window.tallybook.navigate(path);
    },
    // A click on a button that has the server run one handler, which changes one text of the page.
    clickReference: (handler) => {
      const button = document.createElement("button");
      const { "$/utils/context": context, "$/utils/state": state } = window.__reflex;
      button.onclick = () => context.addEvents([state.ReflexEvent(handler)], [], {});
      document.body.append(button);
      button.click();
      button.remove();
    },
  };
})();
