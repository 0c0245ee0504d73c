import { patiently, refusal } from "./answers.js";
import type { Eco2 } from "./eco2.js";
import type { components } from "./schema.js";
import { isLast, pause, type Told } from "./streams.js";

type Ticket = components["schemas"]["Ticket"];

const EVENTS = ["progress", "token", "restart", "done", "failed"];

/**
 * By the browser's EventSource, which can't send a header: a ticket in the address takes its place. A ticket is good once,
 * so a stream that breaks is opened anew with another one, and tells everything from its beginning.
 */
export async function* streamByTicket(eco2: Eco2, path: string, signal?: AbortSignal): AsyncGenerator<Told | "again"> {
  for (;;) {
    const { ticket } = await patiently(() => ask(eco2, `${eco2.base}${path}/events/ticket`, signal));
    for await (const told of once(`${eco2.base}${path}/events?ticket=${ticket}`, signal)) {
      yield told;
      if (isLast(told)) return;
    }
    await pause();
    yield "again";
  }
}

async function ask(eco2: Eco2, url: string, signal?: AbortSignal): Promise<Ticket> {
  const answer = await eco2.fetch(new Request(url, { method: "POST", signal: signal ?? null }));
  if (answer.ok) return (await answer.json()) as Ticket;
  throw await refusal(answer);
}

/** What one EventSource tells until it breaks. */
async function* once(url: string, signal?: AbortSignal): AsyncGenerator<Told> {
  const source = new EventSource(url);
  const waiting: Told[] = [];
  let wake = () => {};
  let open = true;
  const close = () => {
    open = false;
    source.close(); // it would come again with the used ticket
    wake();
  };
  source.onerror = close;
  signal?.addEventListener("abort", close, { once: true });
  for (const event of EVENTS) {
    source.addEventListener(event, ({ data }: MessageEvent<string>) => {
      waiting.push({ event, data: JSON.parse(data) });
      wake();
    });
  }
  try {
    while (open || waiting.length > 0) {
      const told = waiting.shift();
      if (told) yield told;
      else await new Promise<void>((done) => (wake = done));
    }
    signal?.throwIfAborted();
  } finally {
    close();
    signal?.removeEventListener("abort", close);
  }
}
