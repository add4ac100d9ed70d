import { boolean, headerName, proxies, wholeNumber } from "../formats.ts";
import { hostNames, origins } from "../origins.ts";
import { maxCount, type Setting } from "../setting.ts";

/** Who may come in, and how much of it. */
export const clients = [
  {
    variable: "CORS_ORIGINS",
    key: "corsOrigins",
    schema: origins,
    default: "",
    help: "Web pages that may connect, unless `DEV` is set to true",
  },
  {
    variable: "DEV",
    key: "dev",
    schema: boolean,
    default: "true",
    help: "Any web page may connect; false by default where `CORS_ORIGINS` is set",
  },
  {
    variable: "SERVER_NAMES",
    key: "serverNames",
    schema: hostNames,
    default: "",
    help: "Names of this server: its own pages count as such under these only, under an IP address, and under `localhost`; empty: under any name",
  },
  {
    variable: "TRUST_PROXY",
    key: "trustProxy",
    schema: proxies,
    default: "loopback",
    help: "Proxies whose word on the client's address is believed",
  },
  {
    variable: "CLIENT_IP_HEADER",
    key: "clientIpHeader",
    schema: headerName,
    default: "",
    help: "The one header in which trusted proxies tell the client's address; else `X-Forwarded-For`, or `Forwarded` where that is missing",
  },
  {
    variable: "HTTP_RATE_PER_MIN",
    key: "httpRatePerMin",
    schema: wholeNumber(0, maxCount),
    default: "0",
    help: "HTTP requests a minute for one client on any path but `/healthz` and `/readyz`, 16 times that for its site; 0 sets no limit",
  },
  {
    variable: "WS_RATE_PER_MIN",
    key: "wsRatePerMin",
    schema: wholeNumber(0, maxCount),
    default: "0",
    help: "WebSocket upgrades a minute for one client, 16 times that for its site; 0 sets no limit",
  },
  {
    variable: "SOCKETS_PER_CLIENT",
    key: "socketsPerClient",
    schema: wholeNumber(0, maxCount),
    default: "1000",
    help: "WebSockets of one client at a time, 16 times that of its site; 0 sets no limit, and lifts their share of `MAX_SOCKETS` and `WS_BUFFER_TOTAL`",
  },
] as const satisfies readonly Setting[];
