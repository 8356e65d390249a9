/** Speeds of a rehearsal that are offered; the lab takes any from 1 to 10,000. */
export const SPEEDS = [1, 60, 500, 5_000, 10_000] as const;
export const DEFAULT_SPEED = 500;
