// Each task's way, and what waits in the journals over time.
import { api, h, loading, problem, s, say, table } from "./base.js";
import { t } from "./words.js";

const STAGES = ["accepted", "published", "journalled", "done", "returned", "synced"];
const COLOURS = ["var(--accent)", "var(--warn)"];

export function show(main) {
  const bar = h("div", { class: "panel row" }), charts = h("div", { class: "panel" }), list = h("div", { "data-words": true, class: "panel" }, loading()), said = h("div", { "aria-live": "polite" });
  main.append(bar, said, list, charts);
  bar.replaceChildren(...["storage", "ai"].map((worker) => h("button", { type: "button", "data-sync": worker, onclick: (event) => order(event.target, `/sync/${worker}`) }, `${t("sync_now")}: ${worker}`)));
  let stopped = false, timer = 0;
  async function order(button, path) {
    button.disabled = true;
    try { const answer = await api(path, { method: "POST" }); said.replaceChildren(answer.said ? h("pre", { class: answer.ok ? "notice good" : "notice bad" }, answer.said.slice(-600)) : ""); say(answer.said.slice(-100)); } catch (error) { said.replaceChildren(problem(error)); }
    button.disabled = false;
    refresh();
  }
  async function refresh() {
    clearTimeout(timer);
    try {
      const [tasks, history] = await Promise.all([api("/tasks?limit=60"), api("/backlog")]);
      if (stopped) return;
      if (!list.contains(document.activeElement) || document.activeElement.tagName !== "BUTTON") list.replaceChildren(tasks.length ? table([t("task"), t("way"), t("status"), t("error"), ""], tasks, (task) => row(task, order)) : h("p", { class: "empty" }, t("no_tasks")));
      charts.replaceChildren(h("h2", {}, t("waiting")), chart(history, "journal"), h("h2", {}, t("age")), chart(history, "age"));
    } catch (error) { if (!stopped) list.replaceChildren(problem(error, refresh)); }
    if (!stopped) timer = setTimeout(refresh, 1500);
  }
  refresh();
  return () => { stopped = true; clearTimeout(timer); };
}

function row(task, order) {
  const reached = STAGES.filter((stage) => task.stages[stage]);
  const last = t(reached.at(-1) ?? "accepted"), failed = task.status === "failure";
  const way = h("div", { class: "stages", role: "img", "aria-label": last }, STAGES.map((stage) => h("i", { class: task.stages[stage] ? (failed && stage === "done" ? "on failed" : "on") : null, title: t(stage) })));
  return h("tr", { "data-task": task.id }, h("td", {}, h("strong", {}, task.actor), h("br"), h("span", { class: "muted mono small" }, task.id)), h("td", {}, way, h("span", { class: "small muted" }, last)),
    h("td", {}, h("span", { class: `badge ${failed ? "bad" : task.status === "success" ? "good" : "warn"}`, "data-status": task.status ?? "pending" }, t(task.status ?? "pending"))),
    h("td", { class: "small" }, task.quarantine ? `${t("quarantine")}: ${task.quarantine}` : task.error ?? ""),
    h("td", {}, task.open || task.failed_at_owner ? h("button", { type: "button", onclick: (event) => order(event.target, `/tasks/${task.id}/retry`) }, t("retry_task")) : null,
      task.quarantine ? h("button", { type: "button", onclick: (event) => order(event.target, `/tasks/${task.id}/release`) }, t("release")) : null));
}

function chart(history, what) {
  const names = [...new Set(history.flatMap((at) => Object.keys(at[what])))];
  const most = Math.max(1, ...history.flatMap((at) => Object.values(at[what])));
  const span = Math.max(history.length - 1, 1);
  const line = (name) => history.map((at, i) => `${i ? "L" : "M"}${(30 + (i / span) * 560).toFixed(1)} ${(104 - ((at[what][name] ?? 0) / most) * 90).toFixed(1)}`).join(" ");
  const last = history.at(-1)?.[what] ?? {};
  const curves = names.map((name, i) => { const curve = s("path", { class: "curve", d: line(name) || "M0 0" }); curve.style.stroke = COLOURS[i % 2]; return curve; });
  return h("figure", { class: "figure" }, s("svg", { class: "chart", viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": names.map((name) => `${name} ${Math.round(last[name] ?? 0)}`).join(", ") },
    s("line", { class: "axis", x1: 30, y1: 104, x2: 590, y2: 104 }), curves), h("figcaption", { class: "small muted" }, names.map((name, i) => { const swatch = h("span", { class: "swatch" }); swatch.style.background = COLOURS[i % 2]; return [swatch, `${name}: ${Math.round(last[name] ?? 0)}`]; }), ` · max ${Math.round(most)}`));
}
