import createClient, { type Client } from "openapi-fetch";
import { refusal } from "./answers.js";
import type { components, paths } from "./schema.js";

export type Tokens = components["schemas"]["Tokens"];

/** One person's session with the API at `base` ("https://api.example.com"); no one's until there are tokens. */
export class Eco2 {
  /** Each operation by its path, with the session's token. */
  readonly api: Client<paths>;
  /** Hears of each change, so that they can be kept: of null when the session is over. */
  onTokens: (tokens: Tokens | null) => void = () => {};
  #tokens: Tokens | null;
  #refreshing: Promise<void> | null = null;

  constructor(
    readonly base: string,
    tokens: Tokens | null = null,
  ) {
    this.#tokens = tokens;
    this.api = createClient<paths>({ baseUrl: base, fetch: (request) => this.fetch(request) });
  }

  get tokens(): Tokens | null {
    return this.#tokens;
  }

  set tokens(tokens: Tokens | null) {
    this.#tokens = tokens;
    this.onTokens(tokens);
  }

  /** `fetch` with the access token. One that has expired is refreshed, once for all requests that hear 401 meanwhile. */
  async fetch(request: Request): Promise<Response> {
    const used = this.#tokens?.access_token;
    if (used === undefined) return fetch(request);
    const again = request.clone(); // a body can be sent once
    const answer = await fetch(withToken(request, used));
    // A wrong password is 401 too, and no new token mends it.
    if (answer.status !== 401 || !answer.headers.get("WWW-Authenticate")?.includes("invalid_token")) return answer;
    if (this.#tokens?.access_token === used) await this.refresh(); // else another request has done it
    const fresh = this.#tokens?.access_token;
    return fresh === undefined ? answer : fetch(withToken(again, fresh));
  }

  /** New tokens for the refresh token; whoever asks meanwhile waits for the same answer. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    const used = this.#tokens;
    if (used === null) return;
    const answer = await fetch(`${this.base}/api/v1/auth/refresh`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refresh_token: used.refresh_token }),
    });
    // Who logged in or out meanwhile has tokens that this answer knows nothing of.
    if (this.#tokens !== used) return;
    if (answer.ok) this.tokens = (await answer.json()) as Tokens;
    else if (answer.status === 401) this.tokens = null; // the session is over: show the log-in
    else throw await refusal(answer);
  }
}

function withToken(request: Request, token: string): Request {
  request.headers.set("Authorization", `Bearer ${token}`);
  return request;
}
