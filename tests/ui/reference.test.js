// The API reference in a real browser: everything from its own address, try-it as a new person, samples, errors by their URN.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const gateway = process.env.ECO2_UI_GATEWAY;
let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.ECO2_UI_CHROMIUM, args: ["--no-sandbox"] });
});
after(() => browser.close());

/** A page, and what went wrong on it: errors, refusals of the browser, requests to another address. */
async function open(path, { width = 1360, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
  page.on("request", (request) => /^(data|blob):/.test(request.url()) || request.url().startsWith(gateway) || wrong.push(request.url()));
  await page.goto(gateway + path);
  return { page, wrong };
}

const shot = (page, name) => page.screenshot({ path: `${process.env.ECO2_UI_SHOTS}/${name}.png` });

test("a reader becomes a new person, tries an operation and sees samples", async () => {
  const { page, wrong } = await open("/docs");
  await page.getByText("Accounts: registration, sessions").waitFor();
  await page.getByRole("button", { name: "A new person" }).click();
  await page.getByText(/as reader-\w+, for 15 minutes/).waitFor();
  await page.goto(`${gateway}/docs#tag/auth/GET/api/v1/auth/me`);
  const operation = page.locator('[id*="GET/api/v1/auth/me"]').first();
  await operation.getByText("curl").first().waitFor();
  await shot(page, "reference");
  await operation.getByRole("button", { name: /Test Request/ }).first().click();
  await page.getByRole("button", { name: /^Send/ }).first().click();
  await page.getByText(/reader-\w+@example\.com/).first().waitFor();
  assert.deepEqual(wrong, []);
});

test("samples are in curl, Python and TypeScript", async () => {
  const { page, wrong } = await open("/docs#tag/waste/POST/api/v1/waste/analyses");
  const operation = page.locator('[id*="POST/api/v1/waste/analyses"]').first();
  await operation.getByText("curl").first().waitFor();
  await operation.getByRole("button", { name: /curl/i }).first().click();
  const choices = (await page.getByRole("option").allTextContents()).join(" ");
  for (const language of ["Curl", "HTTPX", "TypeScript"]) assert.match(choices, new RegExp(language, "i"));
  await page.getByRole("option", { name: /TypeScript/ }).first().click();
  await operation.getByText("components").first().waitFor();
  assert.deepEqual(wrong, []);
});

test("a narrow dark page fits, and errors have anchors", async () => {
  const { page, wrong } = await open("/docs", { width: 390, colorScheme: "dark" });
  await page.getByText("Errors are").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await shot(page, "reference-narrow");
  const { page: errors, wrong: more } = await open("/docs/errors#urn:eco2:auth:invalid-code", { width: 390 });
  assert.equal(await errors.evaluate(() => document.querySelector(":target").id), "urn:eco2:auth:invalid-code");
  assert.equal(await errors.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await shot(errors, "reference-errors");
  assert.deepEqual([...wrong, ...more], []);
});
