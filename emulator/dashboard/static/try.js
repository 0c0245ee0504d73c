// The app as its user sees it: photograph, watch, read, find a place, ask.
import { api, events, field, h, problem, s, say } from "./base.js";
import { current, KINDS, kindOf, t } from "./words.js";

export function show(main) {
  const person = h("input", { value: localStorage.getItem("eco2-person") ?? "jun", autocomplete: "off" });
  person.addEventListener("change", () => { localStorage.setItem("eco2-person", person.value); token = null; });
  let token = null;
  async function call(path, options = {}) {
    token ??= (await api("/token", { json: { person: person.value } })).access_token;
    const headers = { Authorization: `Bearer ${token}`, ...(options.json === undefined ? {} : { "Content-Type": "application/json" }) };
    const answer = await fetch(`/api/v1${path}`, { method: options.method ?? (options.json === undefined ? "GET" : "POST"), headers, body: options.json === undefined ? undefined : JSON.stringify(options.json), signal: options.signal });
    if (!answer.ok) { const said = await answer.json().catch(() => ({})); throw new Error(said.detail ?? `${answer.status}`); }
    return options.raw ? answer : answer.status === 204 ? null : answer.json();
  }
  const ending = new AbortController();
  // The photo that questions are about, until another one is chosen.
  const shown = { id: null };
  main.append(h("div", { class: "two" },
    h("div", {}, h("div", { class: "panel" }, field(t("you_are"), person)), photo(call, shown, ending.signal)), h("div", {}, near(), chat(call, shown, ending.signal))));
  return () => ending.abort();
}

function photo(call, shown, signal) {
  const picture = h("div"), stage = h("p", { class: "muted", "aria-live": "polite" }), bar = h("progress", { max: "1", value: 0, hidden: true, "aria-label": t("photo") }), out = h("div", { id: "answer" });
  const input = h("input", { type: "file", accept: "image/jpeg,image/png,image/webp", capture: "environment", class: "visually-hidden", id: "photo" });
  input.addEventListener("change", () => { if (input.files[0]) analyse(input.files[0]); });
  async function analyse(file) {
    shown.id = null;
    out.replaceChildren();
    picture.replaceChildren(h("img", { class: "photo", alt: t("photo"), src: URL.createObjectURL(file) }));
    bar.hidden = false;
    bar.value = 0.05;
    stage.textContent = t("uploading");
    try {
      if (!["image/jpeg", "image/png", "image/webp"].includes(file.type)) throw new Error(t("pick_photo_first"));
      const upload = await call("/waste/uploads", { json: { content_type: file.type, size_bytes: file.size } });
      const form = new FormData();
      for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
      form.append("file", file);
      const stored = await fetch(upload.url, { method: "POST", body: form });
      if (!stored.ok) throw new Error(`${stored.status} ${(await stored.text()).slice(0, 200)}`);
      const analysis = await call("/waste/analyses", { json: { image_key: upload.image_key } });
      shown.id = analysis.id;
      let latest = null;
      const tell = async (data) => {
        latest = data;
        bar.value = 1;
        stage.textContent = "";
        const english = current() === "en" ? await inEnglish(data) : null;
        out.replaceChildren(...answer(data, english, choose));
        say(out.innerText.slice(0, 120));
      };
      // The person's own word: the guide follows it, and `eco2 ai report` counts it.
      const choose = async (kind) => { try { await tell(await call(`/waste/analyses/${analysis.id}`, { method: "PATCH", json: { waste_type: kind } })); } catch (error) { out.append(problem(error)); } };
      await events(await call(`/waste/analyses/${analysis.id}/events`, { raw: true, signal }), (name, data) => {
        if (name === "progress") { stage.textContent = t(data.stage); bar.value = data.progress; } else latest = data;
      });
      if (latest) await tell(latest);
      bar.hidden = true;
      // A guide that could not be read at once is filled in by the service: look again for a while.
      for (let look = 0; look < 40 && latest?.analysis_result?.guide?.state === "missing" && !signal.aborted && out.isConnected; look++) {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        await tell(await call(`/waste/analyses/${analysis.id}`, { signal }));
      }
    } catch (error) { if (error.name !== "AbortError") { out.replaceChildren(problem(error)); stage.textContent = ""; } }
    bar.hidden = true;
    input.value = "";
  }
  return h("div", { class: "panel" }, h("label", { class: "drop", for: "photo" }, input, t("choose_photo")), picture, stage, bar, out);
}

// A share as a person would say it.
const certainty = (share) => t(share >= 0.8 ? "certain" : share >= 0.5 ? "likely" : "guess");

// What the answer is about: the person's own word, else the thing seen, else its kind.
const about = ({ corrected_type: said, waste_type: seen, analysis_result: result }) => ({ kind: said ?? seen, item: (said ?? seen) === seen ? result?.item : null });

// The answer's guide is in Korean; the catalogue says the same in English.
async function inEnglish(analysis) {
  const { kind, item } = about(analysis);
  const found = await fetch(item ? `/api/v1/recycle/items/${item.id}` : "/api/v1/recycle/categories").then((got) => (got.ok ? got.json() : [])).catch(() => []);
  return item ? found : found.find((one) => one.category === kind);
}

function answer(analysis, english, choose) {
  if (analysis.status === "failure") return [h("div", { class: "notice bad", role: "alert" }, analysis.error)];
  const { guide, candidates, model } = analysis.analysis_result, { kind, item } = about(analysis);
  const lines = (own, other) => (own.length && other ? other.split("\n").filter(Boolean) : own);
  const list = (title, all) => (all.length ? [h("h3", {}, title), h("ul", {}, all.map((line) => h("li", {}, line)))] : []);
  const name = item && (english?.name_en ?? item.name);
  const seen = candidates.slice(0, 3).map((one) => `${kindOf(one.waste_type)} ${Math.round(one.confidence * 100)} %`);
  return [h("p", { class: "answer" }, kind === "unknown" ? t("not_sure") : name ? `${name} · ${kindOf(kind)}` : kindOf(kind)),
    kind === "unknown" && seen.length ? null : h("p", { id: "certainty" }, analysis.corrected_type ? t("you_said") : kind === "unknown" ? t("look_again") : certainty(analysis.confidence ?? 0)),
    question(analysis, kind, choose),
    seen.length ? h("p", { class: "muted small" }, `${t("confidence")}: ${seen.join(" · ")} · ${model}`) : null,
    ...list(t("steps"), lines(guide.steps, english?.how_to_recycle_en)), ...list(t("do_not"), lines(guide.do_not, english?.do_not_do_en)), guide.state === "missing" ? h("p", { class: "muted" }, t("guide_missing")) : null,
    kind === "unknown" ? null : nearest(kind), correction(kind, choose)].filter(Boolean);
}

// Where the photo leaves it open: the two kinds that are close, or whatever it may show, to choose from.
function question({ corrected_type: said, analysis_result: { ask, candidates } }, kind, choose) {
  const options = said ? [] : ask?.options ?? (kind === "unknown" ? candidates.map((one) => one.waste_type) : []);
  if (!options.length) return null;
  const asked = ask && current() === "ko" ? ask.question : t("which");
  return h("div", { class: "notice", id: "ask" }, h("p", {}, asked), h("p", { class: "row" }, options.map((one) => h("button", { type: "button", "data-kind": one, onclick: (event) => { event.target.disabled = true; choose(one); } }, kindOf(one)))));
}

// A wrong answer is put right by any kind.
function correction(kind, choose) {
  const other = h("select", { required: true }, h("option", { value: "" }, t("pick_kind")), KINDS.filter((one) => one !== kind && one !== "unknown").map((one) => h("option", { value: one }, kindOf(one))));
  return h("form", { id: "correct", class: "row end", onsubmit: (event) => { event.preventDefault(); choose(other.value); } },
    h("div", { class: "grow" }, field(t(kind === "unknown" ? "it_is" : "it_is_not"), other)), h("button", {}, t(kind === "unknown" ? "take_kind" : "correct")));
}

// What is put out at home: where no place is found, the steps say enough.
const AT_HOME = new Set(["general", "food", "bulky"]);

// The nearest place that takes it, from where the form beside it says the person is.
function nearest(kind) {
  const box = h("div", { id: "nearest" });
  const at = (name) => document.querySelector(`input[name="${name}"]`)?.value ?? "";
  fetch(`/api/v1/locations/centers?lat=${at("latitude")}&lon=${at("longitude")}&radius_m=50000&limit=1&item=${kind}`).then(async (answer) => {
    const [center] = answer.ok ? (await answer.json()).items : [];
    if (!center && AT_HOME.has(kind)) return;
    box.replaceChildren(h("h3", {}, t("takes_it")), center ? h("p", {}, h("strong", {}, center.name), ` ${Math.round(center.distance_m)} ${t("meters")} `, h("span", { class: "muted" }, center.address)) : h("p", { class: "muted" }, t("no_taker")));
  }).catch(() => {});
  return box;
}

function near() {
  const latitude = h("input", { name: "latitude", type: "number", step: "any", value: "37.5665", min: "-90", max: "90" }), longitude = h("input", { name: "longitude", type: "number", step: "any", value: "126.978", min: "-180", max: "180" }), out = h("div", { "aria-live": "polite" });
  return h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(`/api/v1/locations/centers?lat=${latitude.value}&lon=${longitude.value}&radius_m=50000&limit=12`), body = await answer.json();
      if (!answer.ok) throw new Error(body.detail);
      out.replaceChildren(...(body.items.length ? [drawn(Number(latitude.value), Number(longitude.value), body.items), h("p", { class: "small muted" }, `${t("outer_ring")}: ${(Math.max(...body.items.map((c) => c.distance_m)) / 1000).toFixed(1)} km`), h("ol", { class: "small" }, body.items.map((c) => h("li", {}, h("strong", {}, c.name), ` ${Math.round(c.distance_m)} ${t("meters")} `, h("span", { class: "muted" }, c.address))))] : [h("p", { class: "empty" }, t("no_centers"))]));
    } catch (error) { out.replaceChildren(problem(error)); }
  } }, h("h2", {}, t("near")), h("div", { class: "row" }, h("div", { class: "grow" }, field(t("latitude"), latitude)), h("div", { class: "grow" }, field(t("longitude"), longitude))), h("button", { id: "near" }, t("show_near")), out);
}

// North up, distances true near the middle; no tiles, so no network.
function drawn(lat, lon, centers) {
  const squeeze = Math.cos((lat * Math.PI) / 180);
  const points = centers.map((c) => [(c.longitude - lon) * squeeze, lat - c.latitude]);
  const reach = Math.max(0.002, ...points.map(([x, y]) => Math.hypot(x, y)));
  const place = ([x, y]) => [150 + (x / reach) * 130, 150 + (y / reach) * 130];
  const rings = [43, 87, 130].map((r) => s("circle", { class: "wire", cx: 150, cy: 150, r }));
  const dots = points.map((point, i) => { const [x, y] = place(point); return s("g", {}, s("circle", { class: "pulse-still", cx: x, cy: y, r: 9 }), s("text", { class: "dot-text", x, y: y + 4, "text-anchor": "middle" }, i + 1)); });
  return s("svg", { class: "map places", viewBox: "0 0 300 300", role: "img", "aria-label": t("near") }, rings, s("circle", { class: "lamp ready", cx: 150, cy: 150, r: 5 }), dots.reverse());
}

function chat(call, shown, signal) {
  const talk = h("div", { class: "talk", role: "log", tabindex: "0", "aria-label": t("chat") }), input = h("input", { value: t("ask_example"), lang: current(), required: true, maxlength: "4000" });
  let conversation = null;
  return h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const content = input.value.trim();
    if (!content) return;
    input.value = "";
    const bubble = h("p", { class: "it" }, "…");
    talk.append(h("p", { class: "me" }, content), bubble);
    try {
      conversation ??= (await call("/chat/conversations", { json: {} })).id;
      const { reply } = await call(`/chat/conversations/${conversation}/messages`, { json: { content, ...(shown.id ? { analysis_id: shown.id } : {}) } });
      let text = "";
      await events(await call(`/chat/conversations/${conversation}/messages/${reply.id}/events`, { raw: true, signal }), (name, data) => {
        if (name === "restart") text = "";
        else if (name === "token") text += data.text;
        else if (name === "done") text = data.content;
        else if (name === "failed") text = `⚠ ${data.content || t("failed")}`;
        bubble.textContent = text || "…";
        if (name === "done") bubble.classList.add("done");
        talk.scrollTop = talk.scrollHeight;
      });
    } catch (error) { if (error.name !== "AbortError") bubble.replaceWith(problem(error)); }
  } }, h("h2", {}, t("chat")), talk, h("div", { class: "row end" }, h("div", { class: "grow" }, field(t("question"), input)), h("button", { class: "primary" }, t("send"))));
}
