import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import en from "./en.json";

function keys(node: object, prefix = ""): string[] {
  return Object.entries(node).flatMap(([key, value]) =>
    typeof value === "string" ? [`${prefix}${key}`] : keys(value as object, `${prefix}${key}.`),
  );
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "gen" ? [] : sources(path);
    return /\.tsx?$/.test(entry.name) && !entry.name.includes(".test.") ? [readFileSync(path, "utf8")] : [];
  });
}

it("holds no word that nothing shows", () => {
  const code = sources("src").join("\n");
  const unused = keys(en).filter((key) => {
    const plain = key.replace(/_(one|other)$/, "");
    if (code.includes(`"${plain}"`)) return false;
    // Families of keys that are put together: `mark.${mark}`.
    const family = plain.slice(0, plain.lastIndexOf("."));
    return !code.includes(`\`${family}.\${`) && !/^connect\.(vcenter|managed|sql|azure)\.(title|text)$/.test(plain);
  });
  expect(unused).toEqual([]);
});
