// Asks the server what this page may do: with a key, and for tickets. No DOM.

import { explainDenial, explainFullness, explainLostUpgrade, explainSilence, isDenial } from "./reasons.js";

/**
 * Ask the server for something: `{ok, status, body, retryAfterMs}`; `body` is undefined if it is no
 * JSON. Throws if nobody answers.
 */
export async function ask(path, { key, method = "GET" } = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const response = await fetch(new URL(path, location.href), { method, headers, cache: "no-store" });
  const body = await response.json().catch(() => undefined);
  const retryAfterMs = 1000 * Number(response.headers.get("Retry-After") ?? 0) || undefined;
  return { ok: response.ok, status: response.status, body, retryAfterMs };
}

/** What the server says of itself: `{info}`, or `{end}` with the reason why it does not. */
export async function describe(key) {
  return unlessSilent(async () => {
    const answer = await ask("/v1/info", { key });
    return answer.ok ? { info: answer.body } : { end: explainDenial(answer, key, location) };
  });
}

/** A single-use ticket for a socket, on which a page can set no header: `{ticket}`, or `{end}`. */
export async function ticketFor(key) {
  return unlessSilent(async () => {
    const answer = await ask("/v1/tickets", { key, method: "POST" });
    return answer.ok ? { ticket: answer.body?.ticket } : { end: explainDenial(answer, key, location) };
  });
}

/**
 * Why a socket did not open, as an end. A page is not told the status of a refused upgrade, so ask
 * whether there is room, and then for a ticket, which a server gives to just those who may stream.
 */
export async function whyNotOpened(key) {
  const { end } = await unlessSilent(async () => {
    const full = explainFullness(await ask("/health/ready", { key }));
    if (full) return { end: full };
    const answer = await ask("/v1/tickets", { key, method: "POST" });
    return { end: isDenial(answer) ? explainDenial(answer, key, location) : explainLostUpgrade(key) };
  });
  return end;
}

async function unlessSilent(asked) {
  try {
    return await asked();
  } catch {
    return { end: explainSilence(location) };
  }
}
