import { logClientModes } from "../../base/log-client-mode.ts";
import { logFormats } from "../../base/log-format.ts";
import {
  basePath,
  duration,
  filePath,
  listenHost,
  logLevel,
  oneOf,
  route,
  token,
  wholeNumber,
} from "../formats.ts";
import type { Setting } from "../setting.ts";

/** What the server answers at, below `BASE_PATH` or not, so that the metrics cannot. */
const otherRoutes = [
  "/",
  "/client.js",
  "/rendezvous/code",
  "/rendezvous/redeem",
  "/rendezvous/whoami",
  "/rendezvous/ice",
  "/openapi.json",
  "/asyncapi.json",
  "/healthz",
  "/readyz",
  "/ws",
  "/ws/",
];

/** Where the server listens, and how it tells about itself. */
export const listening = [
  {
    variable: "HOST",
    key: "host",
    schema: listenHost,
    default: "0.0.0.0",
    help: "Address to listen on",
  },
  {
    variable: "PORT",
    key: "port",
    schema: wholeNumber(0, 65_535),
    default: "1234",
    help: "Port to listen on; 0 takes any free one",
  },
  {
    variable: "TLS_CERT_FILE",
    key: "tlsCertFile",
    schema: filePath,
    default: "",
    help: "Certificate chain in PEM format; with `TLS_KEY_FILE` it turns TLS on",
  },
  {
    variable: "TLS_KEY_FILE",
    key: "tlsKeyFile",
    schema: filePath,
    default: "",
    help: "Private key of the certificate in PEM format, not encrypted",
  },
  {
    variable: "BASE_PATH",
    key: "basePath",
    schema: basePath,
    default: "",
    help: "Stands before every path but `/healthz`, `/readyz` and `METRICS_ROUTE`, for a proxy that passes on one folder",
  },
  {
    variable: "DRAIN",
    key: "drainMs",
    schema: duration("0", "10m"),
    default: "5s",
    help: "With `REDIS_URL`, over how long peers are sent away when the server stops; 0 sends all at once, as a server alone does",
  },
  {
    variable: "STATE_FILE",
    key: "stateFile",
    schema: filePath,
    default: "",
    help: "Where codes, rooms and mail outlast a restart; empty forgets them",
  },
  {
    variable: "METRICS_ROUTE",
    key: "metricsRoute",
    schema: route(otherRoutes),
    default: "/metrics",
    help: "Where Prometheus finds the metrics",
  },
  {
    variable: "METRICS_TOKEN",
    key: "metricsToken",
    schema: token,
    default: "",
    help: "Bearer token that whoever reads the metrics has to show; empty asks for none",
    secret: true,
  },
  {
    variable: "LOG_LEVEL",
    key: "logLevel",
    schema: logLevel,
    default: "info",
    help: "The least important lines that are logged",
  },
  {
    variable: "LOG_FORMAT",
    key: "logFormat",
    schema: oneOf(logFormats),
    default: "auto",
    help: "How log lines look; auto is pretty on a terminal and JSON everywhere else",
  },
  {
    variable: "LOG_CLIENT",
    key: "logClient",
    schema: oneOf(logClientModes),
    default: "prefix",
    help: "How much of a client's address is logged; prefix is its /24 (IPv4) or /48 (IPv6)",
  },
] as const satisfies readonly Setting[];
