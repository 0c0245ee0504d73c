// The frame: pages by the address's hash, language and theme.
import { h, hasToken, problem } from "./base.js";
import { current, setLanguage, t } from "./words.js";

const PAGES = ["system", "functions", "requests", "tasks", "logs", "top", "data", "mail", "try"];
const main = document.getElementById("main");
let leave = null, shown = 0;

function theme() {
  return localStorage.getItem("eco2-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function frame(page) {
  document.documentElement.lang = current();
  document.documentElement.dataset.theme = theme();
  document.title = `${t(page)} · ${t("title")}`;
  document.querySelector(".skip").textContent = t("skip");
  const nav = document.getElementById("nav");
  nav.setAttribute("aria-label", t("pages"));
  nav.replaceChildren(...PAGES.map((name) => h("a", { href: `#${name}`, "aria-current": name === page ? "page" : null }, t(name))));
  const here = nav.querySelector('[aria-current="page"]');
  nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2; // a narrow screen shows only some of them
  const language = document.getElementById("language");
  language.textContent = t("language");
  language.lang = current() === "ko" ? "en" : "ko";
  document.getElementById("theme").textContent = theme() === "dark" ? t("theme_light") : t("theme_dark");
}

// `#requests/ID?q=…`: a page, what is chosen on it, and its filters.
function where() {
  const [path, query] = location.hash.slice(1).split("?");
  const [name, ...rest] = path.split("/");
  let chosen = rest.join("/");
  try { chosen = decodeURIComponent(chosen); } catch { /* as it is */ }
  return [PAGES.includes(name) ? name : "system", chosen, Object.fromEntries(new URLSearchParams(query))];
}

async function show(focus) {
  const [name, chosen, filters] = where();
  const turn = ++shown;
  if (leave) leave();
  leave = null;
  frame(name);
  try {
    const page = await import(`./${name}.js`);
    if (turn !== shown) return; // another page was asked for meanwhile
    main.replaceChildren(h("h1", {}, t(name)), h("p", { class: "lead" }, t(`${name}_lead`)));
    if (!hasToken()) { main.append(h("p", { class: "notice", role: "alert" }, t("needs_token"))); return; }
    if (focus) main.focus();
    leave = page.show(main, chosen, filters) ?? null;
  } catch (error) {
    main.replaceChildren(problem(error, () => show(true)));
  }
}

document.getElementById("language").addEventListener("click", () => { setLanguage(current() === "ko" ? "en" : "ko"); show(false); });
document.getElementById("theme").addEventListener("click", () => {
  localStorage.setItem("eco2-theme", theme() === "dark" ? "light" : "dark");
  frame(where()[0]);
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => show(true));

// j and k go through what a page lists, / to its filter, Esc out of it: while no field is being typed in.
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing) return;
  if (event.key === "/") {
    const filter = main.querySelector("#filter");
    if (filter) { event.preventDefault(); filter.focus(); filter.select(); }
  } else if (event.key === "j" || event.key === "k") {
    const items = [...main.querySelectorAll("[data-item]")].filter((one) => one.offsetParent !== null);
    const at = items.indexOf(document.activeElement), step = event.key === "j" ? 1 : -1;
    const chosen = items.find((one) => one.getAttribute("aria-pressed") === "true");
    (at < 0 ? chosen ?? items[0] : items[Math.min(Math.max(at + step, 0), items.length - 1)])?.focus();
  }
});

// The emulator went away, or is there again.
const banner = h("p", { class: "notice bad away", role: "alert", hidden: true });
document.querySelector("header").after(banner);
addEventListener("eco2-here", (event) => {
  if (banner.hidden === event.detail) return;
  banner.textContent = t("away");
  banner.hidden = event.detail;
});
show(false);
