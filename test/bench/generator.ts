import { codes } from "./workloads/codes.ts";
import type { Figures, Job } from "./workloads/job.ts";
import { mail } from "./workloads/mail.ts";
import { relay } from "./workloads/relay.ts";
import { memory, sessions } from "./workloads/sessions.ts";
import { sockets } from "./workloads/sockets.ts";

// The load generator, a process of its own: takes a job as JSON, prints figures as JSON. What went
// wrong goes to stderr, and the exit code is 1.

function run(job: Job): Promise<Figures> {
  const { work } = job;
  switch (work.kind) {
    case "relay":
      return relay(job, work);
    case "sockets":
      return sockets(job, work);
    case "codes":
      return codes(job, work);
    case "sessions":
      return sessions(job, work);
    case "memory":
      return memory(job, work);
    case "mail":
      return mail(job, work);
    default:
      return work satisfies never;
  }
}

try {
  process.stdout.write(JSON.stringify(await run(JSON.parse(process.argv[2] ?? "") as Job)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
process.exit(0);
