// The frame: pages by the address's hash, language and theme.
import { h, hasToken, problem } from "./base.js";
import { current, setLanguage, t } from "./words.js";

const PAGES = ["system", "functions", "requests", "tasks", "data", "mail", "try"];
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
  const language = document.getElementById("language");
  language.textContent = t("language");
  language.lang = current() === "ko" ? "en" : "ko";
  document.getElementById("theme").textContent = theme() === "dark" ? t("theme_light") : t("theme_dark");
}

// `#requests/ID`: a page, and what is chosen on it.
function where() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  return [PAGES.includes(name) ? name : "system", decodeURIComponent(rest.join("/"))];
}

async function show(focus) {
  const [name, chosen] = where();
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
    leave = page.show(main, chosen) ?? null;
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
show(false);
