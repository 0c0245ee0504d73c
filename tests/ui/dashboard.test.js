// The dashboard in a real browser, on a running system (ECO2_UI_GATEWAY; `make test-ui` starts one): what a person does on
// each page. Any console error and any page error fails the test it happens in.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";

const GATEWAY = process.env.ECO2_UI_GATEWAY;
const PHOTO = process.env.ECO2_UI_PHOTO;
const TWO_THINGS = process.env.ECO2_UI_TWO_THINGS;
const SHOTS = process.env.ECO2_UI_SHOTS ?? "build/screenshots";
const TOKEN = process.env.ECO2_UI_TOKEN;
const PAGES = ["system", "functions", "requests", "tasks", "logs", "top", "data", "mail", "try"];
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
// A busy machine is slow, not broken.
const PATIENCE = 90_000;

let browser, context, page;
const errors = [];

before(async () => {
  assert.ok(GATEWAY, "ECO2_UI_GATEWAY names the running system's gateway");
  mkdirSync(SHOTS, { recursive: true });
  // Playwright gives each launch a fresh profile folder, and removes it.
  browser = await chromium.launch({
    executablePath: process.env.ECO2_UI_CHROMIUM ?? "/usr/bin/chromium", timeout: PATIENCE,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  await fresh();
});
after(async () => { await browser?.close(); });
afterEach(() => { assert.deepEqual(errors.splice(0), [], "the browser's console"); });

async function fresh(options = {}) {
  await context?.close();
  context = await browser.newContext({ viewport: { width: 1400, height: 900 }, locale: "en-GB", colorScheme: "light", ...options });
  context.setDefaultTimeout(PATIENCE);
  page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) errors.push(`${message.text()} ${message.location().url}`); });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => { if (!/^(http:\/\/(127\.0\.0\.1|localhost)[:/]|data:|blob:)/.test(request.url())) errors.push(`asked elsewhere: ${request.url()}`); });
  // The address as `eco2 open` prints it: the tab then has the token, and the address no longer does.
  await page.goto(`${GATEWAY}/_emulator/#token=${TOKEN}&page=functions`);
  await page.locator(READY.functions).first().waitFor();
  assert.equal(new URL(page.url()).hash, "#functions");
}

// What shows that a page's data has come.
const READY = { system: '.map [data-part="gateway"]', functions: "[data-function]", requests: "[data-trace]", tasks: ".chart", logs: ".lines li", top: '[data-top="top_functions"] td', data: "[data-table]", mail: "[data-letter]", try: "#photo" };

async function visit(name) {
  await page.goto(`${GATEWAY}/_emulator/#${name}`);
  await page.locator(`#nav a[href="#${name}"][aria-current="page"]`).waitFor();
  await page.locator(READY[name]).first().waitFor({ state: "attached" });
}

const shot = async (name) => {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
};

async function settings(theme, language) {
  await page.goto(`${GATEWAY}/_emulator/`);
  await page.evaluate(([one, other]) => { localStorage.setItem("eco2-theme", one); localStorage.setItem("eco2-language", other); }, [theme, language]);
  await page.goto("about:blank");
}

test("a function is called by its form, and what it did is shown with its SQL", async () => {
  await visit("functions");
  assert.ok((await page.locator("[data-function]").count()) > 40, "every function is in the catalogue");
  await page.fill("#filter", "recycle_info/search");
  await page.click('[data-function="recycle_info/search"]');
  await page.fill('form#call input[name="q"]', "페트병");
  await page.click("form#call button.primary");
  await page.locator("#status").waitFor();
  assert.equal(await page.locator("#status").textContent(), "200");
  assert.equal(new URL(page.url()).hash, "#functions/recycle_info%2Fsearch?q=recycle_info%2Fsearch");
  await page.getByText(/recycle_info SQL/).first().waitFor();
  await shot("functions-called");
});

test("a photo goes to its answer with a guide, centers are drawn, and the chat answers", async () => {
  await visit("try");
  await page.setInputFiles("#photo", PHOTO);
  await page.locator("#answer .answer").waitFor();
  assert.notEqual((await page.locator("#answer .answer").textContent()).trim(), "");
  assert.match(await page.locator("#certainty").textContent(), /certain|Probably|guess/);
  await page.locator("#answer li").first().waitFor(); // the guide's steps
  const steps = await page.locator("#answer ul").first().textContent();
  await page.selectOption("#correct select", "glass");
  await page.locator("#correct button").click();
  await page.locator("#certainty").getByText("As you said.").waitFor();
  assert.equal(await page.locator("#answer .answer").textContent(), "Glass");
  assert.notEqual(await page.locator("#answer ul").first().textContent(), steps, "the guide follows the person's word");
  await page.click("#near");
  await page.locator(".places circle.pulse-still").first().waitFor();
  // Every text that the answer passes through on its way.
  await page.evaluate(() => {
    globalThis.passed = new Set();
    new MutationObserver(() => globalThis.passed.add(document.querySelector(".talk .it")?.textContent)).observe(document.querySelector(".talk"), { childList: true, characterData: true, subtree: true });
  });
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator(".talk .it.done").waitFor();
  assert.ok((await page.locator(".talk .it").last().textContent()).length > 20);
  assert.ok(await page.evaluate(() => globalThis.passed.size) > 2, "the answer comes in pieces");
  await shot("try-answered");
});

test("a photo of two things is asked back about, and the choice brings its guide", async () => {
  await settings("light", "ko");
  await visit("try");
  await page.setInputFiles("#photo", TWO_THINGS);
  await page.locator("#ask").waitFor();
  assert.match(await page.locator("#ask p").first().textContent(), /인가요, .+인가요\? .+요\.$/, "a question in words, and how to tell the two apart");
  const kinds = await page.locator("#ask button").evaluateAll((all) => all.map((one) => one.dataset.kind));
  assert.equal(kinds.length, 2);
  await shot("try-asked");
  const chosen = page.locator("#ask button").nth(1), name = await chosen.textContent();
  await chosen.click();
  await page.locator("#certainty").getByText("선택하신 종류입니다.").waitFor();
  assert.equal(await page.locator("#answer .answer").textContent(), name);
  assert.equal(await page.locator("#ask").count(), 0, "nothing is asked any more");
  assert.ok((await page.locator("#answer ul li").count()) > 1, "the guide of the kind that was chosen");
  await shot("try-chosen");
  await settings("light", "en");
});

test("a recording begins and ends by its button, and says how it is replayed", async () => {
  await visit("system");
  await page.click("#record");
  await page.locator("#record.danger:not([disabled])").waitFor();
  await page.click("#record");
  await page.locator("#record:not(.danger):not([disabled])").waitFor();
  await page.getByText(/eco2 replay \d{8}-\d{6}/).first().waitFor();
  await shot("system-recorded");
});

test("a task is followed to its end", async () => {
  await visit("tasks");
  await page.click('[data-sync="storage"]');
  await page.click('[data-sync="ai"]');
  const row = page.locator("tr[data-task]").filter({ hasText: "storage/process_photo" }).first();
  await row.locator(".stages i.on").nth(5).waitFor();
  assert.equal(await row.locator(".badge").getAttribute("data-status"), "success");
  await shot("tasks-synced");
});

test("a request's id finds its tasks, and a task's its request", async () => {
  const [task] = await page.evaluate(async (token) => (await fetch("/_emulator/api/tasks?function=process_photo", { headers: { "X-Eco2-Token": token } })).json(), TOKEN);
  await visit("tasks");
  await page.fill("#filter", task.id);
  await page.locator("tr[data-task]").nth(1).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Show its request" }).click();
  await page.locator(".timeline").waitFor();
  await page.getByRole("link", { name: task.id }).click();
  await page.locator(`tr[data-task="${task.id}"]`).waitFor();
  await page.selectOption('select[name="status"]', "failure");
  await page.getByText("No task matches.").waitFor();
});

test("a queue function is called by a form, its failure explained in full, and all failures are tried again", async () => {
  await visit("functions");
  await page.fill("#filter", "storage/process_photo");
  await page.click('[data-function="storage/process_photo"]');
  await page.locator("form#message textarea").fill(JSON.stringify({ image_key: "uploads/nothing-there", prefix: "images/x" }));
  await page.selectOption('select[name="owner"]', "waste");
  await page.click("form#message button.primary");
  await page.locator("form#message ~ * a, form#message a").first().click();
  await page.locator("[data-detail]").waitFor();
  await page.selectOption('select[name="status"]', "failure");
  const row = page.locator("tr[data-task]").filter({ hasText: "storage/process_photo" }).first();
  await row.locator('[data-status="failure"]').waitFor();
  await row.locator("[data-open]").click();
  await page.locator('[data-kind="run"] .failed').first().waitFor();
  await page.getByText("uploads/nothing-there").first().waitFor();
  assert.match(new URL(page.url()).hash, /^#tasks\/[0-9a-f-]{36}\?status=failure$/);
  await shot("tasks-detail");
  await page.reload();
  await page.locator("[data-detail]").waitFor();
  page.once("dialog", (dialog) => dialog.accept());
  await page.click("#retry-all");
  await page.locator(".notice.good").filter({ hasText: "tries it again" }).waitFor();
  await page.selectOption('select[name="status"]', "");
  await page.locator("[data-open]").nth(1).waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("j");
  assert.ok(await page.evaluate(() => document.activeElement.matches("[data-open]")), "j goes to the list");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "filter");
  await page.keyboard.press("Escape");
  assert.notEqual(await page.evaluate(() => document.activeElement.id), "filter");
});

test("a letter is read, and found by its address", async () => {
  await visit("mail");
  await page.fill("#filter", "reader@example.com");
  await page.locator("[data-letter]").filter({ hasText: "Your code" }).click();
  await page.getByText("123456").waitFor();
  await shot("mail-letter");
  await kept(/^#mail\/.+\?to=reader%40example.com$/, () => page.getByText("123456").waitFor());
});

// What is chosen has an address, which reload and the other language keep: `there` finds it on the page.
async function kept(address, there) {
  const hash = await page.evaluate(() => location.hash);
  assert.match(hash, address);
  await page.reload();
  await there();
  if (!(await page.locator("dialog").count())) for (const language of ["ko", "en"]) {
    await page.click("#language");
    await page.locator(`html[lang="${language}"]`).waitFor();
    await there();
  }
  assert.equal(await page.evaluate(() => location.hash), hash);
}

test("j and k go through what each page lists", async () => {
  for (const name of PAGES.filter((one) => one !== "try")) {
    await visit(name);
    await page.locator("[data-item]").nth(1).waitFor({ state: "attached" });
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    assert.ok(await page.evaluate(() => document.activeElement.matches("[data-item]")), `j on ${name}`);
    await page.keyboard.press("k");
    assert.ok(await page.evaluate(() => document.activeElement === [...document.querySelectorAll("[data-item]")].find((one) => one.offsetParent)), `k on ${name}`);
  }
});

test("without the token the page says how to get it, and shows nothing", async () => {
  const other = await context.newPage();
  await other.goto(`${GATEWAY}/_emulator/`);
  await other.getByText("eco2 open").waitFor();
  assert.equal(await other.locator(".map").count(), 0);
  await other.close();
});

test("a request is shown as a timeline across processes", async () => {
  await visit("requests");
  await page.fill("#filter", "/waste/analyses 202");
  await page.locator("[data-trace]").filter({ hasText: "/waste/analyses" }).first().click();
  await page.getByText(/waste SQL/).first().waitFor();
  await page.locator('[data-kind="run"]').filter({ hasText: "storage" }).first().waitFor();
  assert.ok(await page.locator('[data-kind="gap"]').count() > 0, "what was waited for has rows");
  assert.match(new URL(page.url()).hash, /^#requests\/[0-9a-f]{32}\?q=/, "what is chosen has an address");
  await shot("requests-timeline");
});

test("the logs of all parts are searched, and a line leads to its request", async () => {
  await visit("logs");
  await page.selectOption('select[name="part"]', "worker-storage");
  await page.fill("#filter", "process_photo task");
  const line = page.locator(".lines li").filter({ hasText: "success in" }).first();
  await line.waitFor();
  assert.match(new URL(page.url()).hash, /part=worker-storage/);
  await page.reload();
  await line.waitFor();
  await shot("logs-searched");
  await line.getByRole("link").click();
  await page.locator(".timeline").waitFor();
});

test("replicas are drawn whole, each beside the first of its part", async () => {
  await visit("system");
  const replicas = ["worker-ai", "worker-storage", "worker-ai/2", "worker-storage/2", "worker-ai/3"];
  const parts = [...replicas, ...replicas.map((name) => name.replace("worker", "syncer")), "api-waste", "gateway", "postgres"].map((name) => ({ name }));
  for (const width of [1400, 360]) {
    const { height, boxes } = await page.evaluate(async ([parts, width]) => {
      const script = performance.getEntriesByType("resource").map(({ name }) => name).find((name) => name.endsWith("/map.js"));
      const { height, boxes } = (await import(script)).place({ parts, links: [] }, width);
      return { height, boxes: [...boxes] };
    }, [parts, width]);
    const inside = boxes.filter(([, box]) => box.y >= 0 && box.y + box.h <= height).map(([name]) => name);
    assert.deepEqual(inside, boxes.map(([name]) => name));
    const workers = boxes.filter(([name]) => name.startsWith("worker-")).sort(([, a], [, b]) => a.y - b.y).map(([name]) => name);
    assert.deepEqual(workers, ["worker-ai", "worker-ai/2", "worker-ai/3", "worker-storage", "worker-storage/2"]);
  }
});

test("what takes long is listed with its plan, and leads to its timeline", async () => {
  await visit("top");
  await page.selectOption('select[name="by"]', "p95");
  assert.equal(new URL(page.url()).hash, "#top?by=p95");
  const statement = page.locator(".statement").filter({ hasText: "FROM analyses" }).first();
  await statement.locator("summary").click();
  await statement.getByText("api_waste_role").waitFor();
  await statement.getByText(/cost=/).waitFor();
  await shot("top-explained");
  await kept(/^#top\?by=p95&open=waste%3A\+/, () => page.locator(".statement[open]").getByText(/cost=/).waitFor());
  await page.locator('[data-top="top_functions"] a').first().click();
  await page.locator(".timeline").waitFor();
});

test("a fault is injected, drawn and cleared", async () => {
  await visit("system");
  await page.click("#add-fault");
  await page.selectOption('select[name="target"]', "redis-cache");
  await page.selectOption('select[name="kind"]', "latency");
  await page.fill('input[name="amount"]', "50ms");
  await page.click("form#fault button.primary");
  await page.locator("#faults li").filter({ hasText: "redis-cache latency" }).waitFor();
  await page.locator(".map .wire.broken").first().waitFor({ state: "attached" });
  await shot("system-fault");
  await page.locator("#faults li").getByRole("button", { name: "End: f" }).click();
  await page.locator("#faults").waitFor({ state: "detached" });
  // Every kind is taken as its form offers it, and asks for an amount only where there is one.
  for (const kind of ["cut", "hang", "throttle", "reset", "swallow"]) {
    await page.click("#add-fault");
    await page.selectOption('select[name="target"]', "redis-cache");
    await page.selectOption('select[name="service"]', "worker-ai");
    await page.selectOption('select[name="kind"]', kind);
    assert.equal(await page.locator('input[name="amount"]').isVisible(), !["cut", "hang"].includes(kind));
    await page.click("form#fault button.primary");
    await page.locator("#faults li").filter({ hasText: `redis-cache ${kind}` }).waitFor();
  }
  await page.click("#clear-faults");
  await page.locator("#faults").waitFor({ state: "detached" });
  assert.equal(await page.locator(".map .wire.broken").count(), 0);
});

test("a fault between a service and a store reddens their connection, and no other", async () => {
  await visit("system");
  await page.click("#add-fault");
  await page.selectOption('select[name="target"]', "postgres");
  await page.selectOption('select[name="service"]', "api-waste");
  await page.selectOption('select[name="kind"]', "cut");
  await page.click("form#fault button.primary");
  await page.locator("#faults li").filter({ hasText: "postgres cut from api-waste" }).waitFor();
  await page.locator(".map .wire.broken").first().waitFor({ state: "attached" });
  // Also while requests go through the gateway to the service that is cut off.
  const answers = page.evaluate(async (token) => {
    const call = () => fetch("/_emulator/api/call", { method: "POST", headers: { "X-Eco2-Token": token, "Content-Type": "application/json" }, body: JSON.stringify({ method: "GET", path: "/api/v1/waste/analyses", person: "mina" }) });
    return Promise.all([1, 2, 3].map(async () => (await (await call()).json()).status));
  }, TOKEN);
  assert.deepEqual(await answers, [503, 503, 503]);
  await page.waitForTimeout(1500);
  assert.equal(await page.locator("main").getByText("null", { exact: true }).count(), 0, "what is not there is not written");
  assert.deepEqual(await page.locator(".map .wire.broken").evaluateAll((all) => all.map((one) => one.dataset.wire)), ["api-waste>postgres"]);
  await shot("system-fault-of-one");
  await page.click("#clear-faults");
  await page.locator("#faults").waitFor({ state: "detached" });
});

test("a part's log is read and the part is restarted", async () => {
  await visit("system");
  await page.click('.map [data-part="api-location"]');
  await page.locator("dialog .log").waitFor();
  await shot("system-part");
  await kept(/^#system\/api-location$/, () => page.locator("dialog").getByText("api-location").first().waitFor());
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => location.hash === "#system");
  await page.click('.map [data-part="api-location"]');
  await page.locator("dialog").getByRole("button", { name: "Restart", exact: true }).click();
  await page.locator("dialog .good").filter({ hasText: "✓" }).waitFor();
  await page.locator("dialog").getByRole("button", { name: "Close" }).click();
  await page.locator('.map [data-part="api-location"] .lamp.ready').waitFor();
});

test("a table is read under its own role, and another role is refused in PostgreSQL's words", async () => {
  await visit("data");
  await page.click('[data-table="auth.users"]');
  await page.getByRole("columnheader", { name: "username" }).waitFor();
  await quietly(/409/, async () => {
    await page.selectOption('select[name="as"]', "location");
    await page.getByText("permission denied").waitFor();
  });
  await shot("data-denied");
  for (const [tab, seen] of [["sql", "textarea"], ["objects", ".thumbs img"], ["redis", "table"]]) {
    await page.click(`[data-tab="${tab}"]`);
    await page.locator(seen).first().waitFor();
    if (tab === "sql") { await page.click("form#sql button.primary"); await page.getByRole("cell", { name: "success" }).waitFor(); }
    await page.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0));
    await shot(`data-${tab}`);
  }
});

test("a table is sorted, filtered, copied as SQL and followed, and what is shown has an address", async () => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = (wanted) => page.waitForFunction(async (text) => (await navigator.clipboard.readText()).startsWith(text), wanted);
  await visit("data");
  await page.click('[data-table="waste.images"]');
  await page.click('[data-sort="s3_key"]');
  await page.locator('th[aria-sort="ascending"] [data-sort="s3_key"]').waitFor();
  await page.click('[data-sort="s3_key"]');
  await page.locator('th[aria-sort="descending"] [data-sort="s3_key"]').waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.matches('[data-sort="s3_key"]')), "the keyboard stays at the head");
  await page.selectOption('select[name="column"]', "s3_key");
  await page.selectOption('select[name="operator"]', "contains");
  await page.fill("#filter", "no-such-key");
  await page.click("#rows-filter button");
  await page.getByText("No rows.").waitFor();
  await page.fill("#filter", "IMAGES/");
  await page.keyboard.press("Enter");
  await page.locator("[data-copy]").first().waitFor();
  const address = "#data/waste.images?sort=s3_key&order=desc&column=s3_key&operator=contains&value=IMAGES%2F";
  assert.equal(new URL(page.url()).hash, address);
  await page.reload();
  await page.locator('th[aria-sort="descending"] [data-sort="s3_key"]').waitFor();
  await page.click("#language");
  await page.locator('th[aria-sort="descending"] [data-sort="s3_key"]').waitFor();
  assert.deepEqual([await page.inputValue("#filter"), new URL(page.url()).hash], ["IMAGES/", address]);
  await page.click("#language");
  await page.click("#copy-query");
  await copied('SELECT * FROM "waste"."images" WHERE strpos(');
  await page.locator("[data-copy]").first().click();
  await copied('INSERT INTO "waste"."images" ("id"');
  await shot("data-filtered");
  const id = page.locator('td a[href^="#data/waste.analyses?"]').first(), analysis = await id.textContent();
  await id.click();
  await page.getByRole("heading", { level: 2, name: "waste.analyses" }).waitFor();
  await page.getByRole("cell", { name: analysis, exact: true }).waitFor();
  assert.equal(await page.locator("[data-copy]").count(), 1);
  assert.equal(new URL(page.url()).hash, `#data/waste.analyses?column=id&value=${analysis}`);
  await page.goBack();
  await page.locator('th[aria-sort="descending"] [data-sort="s3_key"]').waitFor();
  await page.goto(`${GATEWAY}/_emulator/#data?tab=redis&match=no-such-key`);
  await page.getByText("No rows.").waitFor();
  assert.equal(await page.inputValue("#filter"), "no-such-key");
});

test("a row is edited once writing is allowed, and no one's change is written over", async () => {
  const mine = `mine ${Date.now()}`; // also on a system that an earlier walk has left
  await page.goto(`${GATEWAY}/_emulator/#data/waste.analyses?column=status&value=success`);
  await page.locator("[data-copy]").first().waitFor();
  assert.equal(await page.locator("[data-edit]").count(), 0);
  await page.check('input[name="write"]');
  await page.locator("[data-edit]").first().click();
  await page.fill('dialog input[name="error"]', mine);
  await page.evaluate((token) => fetch("/_emulator/api/data/sql", { method: "POST", headers: { "X-Eco2-Token": token, "Content-Type": "application/json" }, body: JSON.stringify({ service: "waste", text: "UPDATE analyses SET error = 'theirs' WHERE status = 'success'", write: true }) }), TOKEN);
  await quietly(/412/, async () => {
    await page.click("form#row button.primary");
    await page.getByText("The row was changed meanwhile").waitFor();
  });
  assert.deepEqual(await serious(), []);
  await shot("data-edited-meanwhile");
  await page.keyboard.press("Escape");
  await page.locator("[data-edit]").first().click();
  await page.locator('dialog input[name="error"]').waitFor();
  assert.equal(await page.inputValue('dialog input[name="error"]'), "theirs");
  await page.fill('dialog input[name="error"]', mine);
  await page.click("form#row button.primary");
  await page.getByText("Saved.").waitFor();
  await page.getByRole("cell", { name: mine, exact: true }).waitFor();
  await page.reload();
  await page.locator("[data-copy]").first().waitFor();
  assert.equal(await page.isChecked('input[name="write"]'), false, "a page that is opened anew only reads");
});

// A refusal that is asked for is also a line in the browser's console; no other line is let through.
async function quietly(expected, work) {
  await work();
  const others = errors.splice(0).filter((line) => !expected.test(line));
  errors.push(...others);
}

test("language and theme are switched and kept", async () => {
  await visit("system");
  await page.click("#language");
  await page.getByRole("heading", { level: 1, name: "시스템" }).waitFor();
  assert.equal(await page.getAttribute("html", "lang"), "ko");
  await page.click("#theme");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "시스템" }).waitFor();
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  await settings("light", "en");
});

test("by keyboard alone: to the catalogue, a function, its call and its answer", async () => {
  await page.goto(`${GATEWAY}/_emulator/`);
  await page.locator(READY.system).waitFor();
  const tabTo = async (wanted, most = 60) => {
    for (let i = 0; i < most; i++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((selector) => document.activeElement.matches(selector), wanted)) return;
    }
    assert.fail(`the Tab key does not reach ${wanted}`);
  };
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement.matches(".skip")), "the skip link comes first");
  await tabTo('#nav a[href="#functions"]');
  await page.keyboard.press("Enter");
  await page.locator(READY.functions).first().waitFor();
  await tabTo("#filter");
  await page.keyboard.type("list_categories");
  await page.locator("[data-function]").nth(1).waitFor({ state: "detached" });
  await tabTo('[data-function="recycle_info/list_categories"]');
  await page.keyboard.press("Enter");
  await page.locator("form#call").waitFor();
  await tabTo("form#call button.primary");
  await page.keyboard.press("Enter");
  await page.locator("#status").waitFor();
  assert.equal(await page.locator("#status").textContent(), "200");
});

const DIALOGS = { part: () => page.click('.map [data-part="api-waste"]'), fault: () => page.click("#add-fault") };

// What axe-core finds serious on the page as it stands. The debugger's evaluate is not held back by the page's policy.
async function serious() {
  await page.evaluate(readFileSync(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}

for (const theme of ["light", "dark"]) {
  test(`axe-core finds nothing serious on any page or dialog, ${theme}`, async () => {
    await settings(theme, theme === "light" ? "en" : "ko");
    const found = [];
    for (const name of PAGES) {
      await visit(name);
      if (name === "functions") { await page.fill("#filter", "auth/login"); await page.click('[data-function="auth/login"]'); }
      if (name === "requests") { await page.locator("[data-trace]").first().click(); await page.locator(".timeline").waitFor(); }
      if (name === "data") { await page.click('[data-table="recycle_info.categories"]'); await page.locator("table").waitFor(); }
      await shot(`${name}-1400-${theme}`);
      found.push(...(await serious()).map((line) => `${name}: ${line}`));
      if (name !== "system") continue;
      for (const [dialog, open] of Object.entries(DIALOGS)) {
        await open();
        await page.locator("dialog").waitFor();
        await shot(`dialog-${dialog}-1400-${theme}`);
        found.push(...(await serious()).map((line) => `dialog ${dialog}: ${line}`));
        await page.keyboard.press("Escape");
        await page.locator("dialog").waitFor({ state: "detached" });
      }
    }
    assert.deepEqual(found, []);
  });
}

// The pages that say why something failed, and what is stored, at a desk and in the hand.
const WHY = { system: async () => {}, requests: () => page.locator("[data-trace]").first().click(), tasks: () => page.locator("[data-open]").first().click(), logs: async () => {}, top: () => page.locator(".statement summary").first().click(), data: () => page.click('[data-table="waste.images"]') };
const SHOWN = { system: "#record", requests: ".timeline", tasks: "[data-detail]", logs: ".lines li", top: ".statement .log", data: "[data-copy]" };
for (const [theme, language] of [["light", "en"], ["dark", "en"], ["light", "ko"], ["dark", "ko"]]) {
  test(`at 1400 and 390 px why something failed and what is stored is readable, ${theme}, ${language}`, async () => {
    const found = [];
    for (const width of [1400, 390]) {
      await fresh({ viewport: { width, height: 900 }, colorScheme: theme });
      await settings(theme, language);
      for (const [name, open] of Object.entries(WHY)) {
        await visit(name);
        await open();
        await page.locator(SHOWN[name]).first().waitFor();
        await shot(`${name}-${width}-${theme}-${language}`);
        const [content, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(content <= window_, `${name} is ${content} px wide at ${width}`);
        const clipped = await page.evaluate(() => [...document.querySelectorAll("td .badge, dt")].filter((one) => { const { left } = one.getBoundingClientRect(); const frame = (one.closest(".scroll") ?? document.body).getBoundingClientRect(); return left < frame.left || one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0; }).map((one) => one.textContent));
        assert.deepEqual(clipped, [], `${name} at ${width}: a status or a label is cut`);
        found.push(...(await serious()).map((line) => `${name} ${width}: ${line}`));
      }
    }
    assert.deepEqual(found, []);
    await fresh();
  });
}

test("by keyboard alone: a failure's timeline, from the list to its traceback's row", async () => {
  await visit("requests");
  await page.keyboard.press("/");
  await page.keyboard.type("waste/analyses 202");
  await page.locator("[data-trace]").filter({ hasText: "POST" }).first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.locator(".timeline").waitFor();
  for (let i = 0; i < 60 && !(await page.evaluate(() => document.activeElement.matches(".timeline summary"))); i++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator(".timeline details[open]").first().waitFor();
});

test("an open page says that the emulator is away, and goes on when it is back", async () => {
  await visit("logs");
  await context.setOffline(true);
  await page.locator(".away").waitFor();
  await context.setOffline(false);
  await page.locator(".away").waitFor({ state: "hidden" });
  errors.splice(0); // each request that got no answer is a line of the browser's
});

test("no page scrolls sideways at 360 px, and nothing moves for who asks for stillness", async () => {
  await fresh({ viewport: { width: 360, height: 760 }, locale: "ko-KR", colorScheme: "dark", reducedMotion: "reduce" });
  for (const name of PAGES) {
    await visit(name);
    await shot(`${name}-360-dark`);
    const [content, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= window_, `${name} is ${content} px wide`);
    if (name !== "system") continue;
    for (const [dialog, open] of Object.entries(DIALOGS)) {
      await open();
      await shot(`dialog-${dialog}-360-dark`);
      const [inside, box] = await page.locator("dialog").evaluate((one) => [one.scrollWidth, one.clientWidth]);
      assert.ok(inside <= box, `the dialog ${dialog} is ${inside} px wide in ${box}`);
      await page.keyboard.press("Escape");
    }
  }
  await visit("system");
  await page.evaluate(() => fetch("/api/v1/recycle/categories"));
  await page.waitForTimeout(500);
  assert.equal(await page.locator(".map .pulse").count(), 0);
});
