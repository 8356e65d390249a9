// A sentence in which `something` stands between backticks: a command or a name to be typed as it is.
export function Words({ text }: { text: string }) {
  return text.split("`").map((part, n) => (n % 2 === 1 ? <code key={n}>{part}</code> : part));
}
