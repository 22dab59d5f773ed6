"use strict";
// Says how a sweep goes, and takes the page anew when there is more to see; not while a reader is at answers.
(() => {
  const line = document.getElementById("live");
  const PLACE = "landscape-ray: place on the page";
  history.scrollRestoration = "manual";
  scrollTo({ top: Number(sessionStorage.getItem(PLACE) ?? 0), behavior: "instant" });
  sessionStorage.removeItem(PLACE);
  let tag = "", stale = false;
  const look = async () => {
    try {
      const answer = await fetch("state", { cache: "no-store", headers: { "If-None-Match": tag } });
      if (answer.ok) {
        const state = await answer.json();
        tag = answer.headers.get("ETag");
        line.textContent = state.line;
        stale = state.version !== line.dataset.version;
      } else if (answer.status !== 304) throw new Error(answer.statusText);
    } catch {
      [tag, line.textContent] = ["", "No answer from landscape-ray watch: this is what it showed last."];
    }
    if (stale && !document.querySelector("dialog[open]")) {
      sessionStorage.setItem(PLACE, scrollY);
      location.reload();
    } else setTimeout(look, 1000);
  };
  look();
})();
