// A timeline as emulator/timeline.py made it: rows with bars on the time of the whole; a row opens to what belongs to it.
import { h, ms, pretty, s } from "./base.js";
import { t } from "./words.js";

const COLOURS = { gateway: "var(--muted)", server: "var(--accent)", sql: "var(--warn)", s3: "var(--focus)", task: "var(--good)", attempt: "var(--wire)", run: "var(--good)", result: "var(--good)" };
const LEGEND = ["server", "sql", "s3", "run", "gap"];
const TEXTS = ["stack", "source", "statement", "request_body", "answer_body"];
const MARKS = { failed: "✗ ", again: "↻ " };

export function timeline(found) {
  if (!found.rows.length) return h("p", { class: "muted" }, t("nothing_did"));
  const whole = Math.max(found.ms, 0.001);
  return h("div", { class: "timeline" },
    h("p", { class: "small muted legend" }, LEGEND.map((kind) => { const swatch = h("span", { class: `swatch ${kind}` }); swatch.style.background = COLOURS[kind] ?? ""; return h("span", { class: "key" }, swatch, t(`span_${kind}`)); }),
      h("span", { class: "key" }, h("span", { class: "swatch failed" }), t("state_failed"))),
    h("div", { class: "bar-row scale small muted", "aria-hidden": "true" }, h("span", {}), h("span", { class: "marks" }, [0, 0.25, 0.5, 0.75, 1].map((part) => h("i", {}, part ? ms(whole * part) : "0"))), h("span", {})),
    found.rows.map((row) => line(row, whole)));
}

function line(row, whole) {
  const failed = row.state === "failed";
  const x = Math.min((row.at / whole) * 100, 99.4), width = Math.max(Math.min((row.ms / whole) * 100, 100 - x), 0.6);
  const bar = s("rect", { x, y: 2, width, height: 10, class: row.kind === "gap" ? "gap" : null });
  bar.style.fill = failed ? "var(--bad)" : COLOURS[row.kind] ?? "var(--muted)";
  const texts = TEXTS.filter((name) => row.texts[name]), { holder, ...rest } = row.facts, facts = Object.entries(rest);
  const name = h("span", { class: "name", title: words(row) }, h("span", { class: "method" }, label(row)), words(row));
  name.style.setProperty("--depth", Math.min(row.depth, 8));
  const shown = [name, s("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" }, bar), h("span", { class: "ms" }, row.ms ? ms(row.ms) : "·")];
  const kind = `bar-row kind-${row.kind}${row.state ? ` ${row.state}` : ""}`;
  if (!texts.length && !facts.length) return h("div", { class: kind, "data-kind": row.kind }, shown);
  return h("details", { "data-kind": row.kind, open: failed && Boolean(row.texts.stack) }, h("summary", { class: kind }, shown),
    h("div", { class: "below" }, holder ? h("p", { class: "small" }, h("a", { href: `#requests/${holder}` }, t("holder"))) : null, facts.length ? h("p", { class: "small muted mono" }, facts.map(([key, value]) => `${key}: ${value}`).join(" · ")) : null,
      texts.map((one) => [h("h3", {}, t(`text_${one}`)), h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": t(`text_${one}`) }, pretty(row.texts[one]))])));
}

function label(row) {
  if (row.kind === "gap") return "┄ ";
  const kind = row.kind === "log" ? row.facts.level : t(`span_${row.kind}`);
  return `${MARKS[row.state] ?? ""}${row.service && row.kind !== "gateway" ? `${row.service} ` : ""}${kind} `;
}

function words(row) {
  if (row.kind === "gap") return `${t(`gap_${row.name}`)}${row.note ? ` ${row.note}` : ""}`;
  const note = row.note && row.kind !== "log" ? ` · ${row.note}` : "";
  return `${row.kind === "retry" ? `${row.name} · ${row.facts.attempt}` : row.name}${note}`;
}
