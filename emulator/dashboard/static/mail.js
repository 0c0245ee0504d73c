// What the system has written to people: the letters of the one mailbox that takes them all. `#mail/ID?to=ADDRESS`
import { api, dateTime, field, h, keepAddress, loading, problem } from "./base.js";
import { t } from "./words.js";

export function show(main, wanted, given) {
  // `#mail/ADDRESS` is all of that address's.
  const [first, address] = wanted.includes("@") ? ["", wanted] : [wanted, given.to ?? ""];
  const to = h("input", { type: "search", id: "filter", value: address, autocomplete: "off", placeholder: "mina@example.com" }), found = h("div", {}, loading());
  const letter = h("div", { class: "panel", "aria-live": "polite" }, h("p", { class: "empty" }, t("pick_letter")));
  main.append(h("div", { class: "split" }, h("div", { class: "panel side" }, field(t("mail_to"), to), found), letter));
  let stopped = false, timer = 0, chosen = first, shown = "";
  async function refresh() {
    clearTimeout(timer);
    try {
      const letters = await api(`/mail?to=${encodeURIComponent(to.value.trim())}`);
      if (stopped) return;
      const focused = found.contains(document.activeElement) ? document.activeElement.dataset.letter : null;
      found.replaceChildren(letters.length ? h("ul", { class: "list" }, letters.map((one) => h("li", {}, h("button", { type: "button", "data-item": true, "data-letter": one.id, "aria-pressed": one.id === chosen ? "true" : "false", onclick: () => open(one) },
        h("strong", {}, one.subject || "–"), h("span", { class: "line small muted" }, h("span", {}, one.to.join(", ")), h("span", {}, dateTime(one.received_at))))))) : h("p", { class: "empty" }, t("no_letters")));
      const again = shown !== chosen && letters.find((one) => one.id === chosen);
      if (again) open(again);
      if (focused) found.querySelector(`[data-letter="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    } catch (error) { if (!stopped) found.replaceChildren(problem(error, refresh)); }
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(refresh, 3000);
  }
  function open(one) {
    chosen = shown = one.id;
    keep();
    for (const button of found.querySelectorAll("[data-letter]")) button.setAttribute("aria-pressed", button.dataset.letter === chosen);
    const facts = [[t("mail_from"), one.sender], [t("mail_to"), one.to.join(", ")], [t("time"), dateTime(one.received_at)]];
    letter.replaceChildren(h("h2", {}, one.subject || "–"), h("dl", { class: "facts small" }, facts.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value)))), h("pre", { class: "log", tabindex: "0" }, one.text.trim()));
    if (innerWidth <= 760) letter.scrollIntoView();
  }
  const keep = () => keepAddress("mail", chosen, { to: to.value.trim() });
  to.addEventListener("input", () => { keep(); refresh(); });
  refresh();
  return () => { stopped = true; clearTimeout(timer); };
}
