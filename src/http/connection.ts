/** A reg-name, an IPv4 or an IPv6 address, with or without a port (RFC 3986 section 3.2); or nothing. */
const validHost = /^(?:[\w.~!$&'()*+;=%-]*|\[[\w:.%~-]+\])(?::\d{0,5})?$/;

/**
 * Whether a request names one host (RFC 9112 section 3.2). The runtime joins several Host lines by a
 * comma, and refuses a request of HTTP/1.1 without one itself: one that has none is HTTP/1.0.
 */
export function hasValidHost(headers: Headers): boolean {
  const host = headers.get("host");
  return host === null || validHost.test(host);
}

/** An unread body up to this is skipped, so that the connection can be used again; bytes. */
const maxSkippedBytes = 1_048_576;

/**
 * Whether the connection ends with the answer: because the client asks for it (RFC 9112 section 9.6),
 * because it speaks HTTP/1.0, which the runtime shows only by a missing Host, or because a body may
 * come that is too much to skip: a longer one, or one of unknown length.
 */
export function endsWithAnswer(headers: Headers): boolean {
  const options = headers.get("connection");
  if (options !== null && /(?:^|,)\s*close\s*(?:,|$)/i.test(options)) return true;
  const length = headers.get("content-length");
  if (length === null) return headers.has("transfer-encoding") || !headers.has("host");
  return Number(length) > maxSkippedBytes || !headers.has("host");
}
