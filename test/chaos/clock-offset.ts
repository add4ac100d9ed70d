// Loaded into a node before anything else: its wall clock is off by CLOCK_OFFSET_MS.
const offsetMs = Number(process.env["CLOCK_OFFSET_MS"] ?? 0);
const { now } = Date;
Date.now = () => now() + offsetMs;
