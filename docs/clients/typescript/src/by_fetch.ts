import { EventSourceParserStream } from "eventsource-parser/stream";
import { patiently, refusal } from "./answers.js";
import type { Eco2 } from "./eco2.js";
import { pause, type Told } from "./streams.js";

/** With the token in a header; a stream that breaks goes on behind the last event that was told (Last-Event-ID). */
export async function* streamByFetch(eco2: Eco2, path: string, signal?: AbortSignal): AsyncGenerator<Told> {
  for (let last: string | undefined; ; ) {
    const headers = last === undefined ? {} : { "Last-Event-ID": last };
    const body = await patiently(async () => {
      const answer = await eco2.fetch(new Request(`${eco2.base}${path}/events`, { headers, signal: signal ?? null }));
      if (answer.ok && answer.body) return answer.body;
      throw await refusal(answer);
    });
    const reader = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        last = part.value.id ?? last;
        yield { event: part.value.event ?? "message", data: JSON.parse(part.value.data) };
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // a TypeError: the connection broke
    } finally {
      await reader.cancel().catch(() => {}); // who stops listening ends the connection
    }
    await pause();
  }
}
