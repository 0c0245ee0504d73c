import { streamByFetch } from "./by_fetch.js";
import type { Eco2 } from "./eco2.js";
import type { components } from "./schema.js";
import { isLast, type Stream } from "./streams.js";

type Schemas = components["schemas"];

export interface FollowOptions {
  /** `streamByFetch` runs everywhere; `streamByTicket` is an EventSource. */
  by?: Stream;
  signal?: AbortSignal;
}

/** The events of an analysis until it is `done` or has `failed`, which is told last and brings the whole analysis. */
export function followAnalysis(
  eco2: Eco2,
  analysis_id: string,
  options: FollowOptions = {},
): AsyncGenerator<Schemas["AnalysisEvent"]> {
  return follow(eco2, `/api/v1/waste/analyses/${analysis_id}`, options, []);
}

/**
 * The events of a reply until it is `done` or has `failed`, which is told last and brings the whole message.
 * `restart` means: discard the tokens that came so far.
 */
export function followReply(
  eco2: Eco2,
  conversation_id: string,
  message_id: string,
  options: FollowOptions = {},
): AsyncGenerator<Schemas["MessageEvent"]> {
  const path = `/api/v1/chat/conversations/${conversation_id}/messages/${message_id}`;
  return follow(eco2, path, options, [{ event: "restart", data: {} }]);
}

/** `anew`: what to tell before a stream tells again what it told. */
async function* follow<E>(eco2: Eco2, path: string, { by = streamByFetch, signal }: FollowOptions, anew: E[]): AsyncGenerator<E> {
  for await (const told of by(eco2, path, signal)) {
    if (told === "again") {
      yield* anew;
      continue;
    }
    yield told as E; // as the document's schema of these events says
    if (isLast(told)) return;
  }
}
