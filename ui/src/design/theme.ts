// Fluent's themes with our accent, font and the colours of the states. State colours are tokens of the theme, so that
// every screen, the diagram and portals take the same ones in light and in dark.
import { type Theme, webDarkTheme, webLightTheme } from "@fluentui/react-components";

const fonts = {
  fontFamilyBase:
    "'Inter Variable', 'Segoe UI Variable Text', 'Segoe UI', system-ui, -apple-system, 'Noto Sans', sans-serif",
  fontFamilyNumeric:
    "'Inter Variable', 'Segoe UI Variable Text', 'Segoe UI', system-ui, -apple-system, 'Noto Sans', sans-serif",
};

const light = {
  stateDone: "#107c10",
  stateDoneBack: "#f1faf1",
  stateRun: "#0f6cbd",
  stateRunBack: "#ebf3fc",
  stateWait: "#5c2e91",
  stateWaitBack: "#f6f2fb",
  stateYou: "#bc4b09",
  stateYouBack: "#fff8ef",
  stateYouLine: "#f3c9a0",
  stateLate: "#835b00",
  stateLateBack: "#fffaeb",
  stateLateLine: "#ecd28a",
  stateFail: "#b10e1c",
  stateFailBack: "#fdf3f4",
  stateFailLine: "#eeacb2",
  stateIdle: "#adadad",
  muted: "#616161",
  canvas: "#f5f5f5",
  canvasDot: "#e6e6e6",
  site: "#efefef",
  siteLine: "#d1d1d1",
  target: "#ebf3fc",
  card: "#ffffff",
  selected: "#e5f1fb",
  hatch: "#c7c7c7",
};

const dark: typeof light = {
  stateDone: "#7bd17b",
  stateDoneBack: "#122812",
  stateRun: "#62abf5",
  stateRunBack: "#0b2a45",
  stateWait: "#c6a2ec",
  stateWaitBack: "#2a1c3b",
  stateYou: "#f7a05f",
  stateYouBack: "#2d2215",
  stateYouLine: "#6e4a22",
  stateLate: "#f2c661",
  stateLateBack: "#332708",
  stateLateLine: "#6b5316",
  stateFail: "#f1707b",
  stateFailBack: "#3b1519",
  stateFailLine: "#7b3138",
  stateIdle: "#6e6e6e",
  muted: "#b5b5b5",
  canvas: "#141414",
  canvasDot: "#262626",
  site: "#1d1f22",
  siteLine: "#454545",
  target: "#152330",
  card: "#1f1f1f",
  selected: "#0d2b45",
  hatch: "#5c5c5c",
};

export type RehostTheme = Theme & typeof light;

export const lightTheme: RehostTheme = { ...webLightTheme, ...fonts, ...light };

export const darkTheme: RehostTheme = {
  ...webDarkTheme,
  ...fonts,
  ...dark,
  colorNeutralBackground1: "#1f1f1f",
  colorBrandBackground: "#62abf5",
  colorBrandBackgroundHover: "#77b7f7",
  colorBrandBackgroundPressed: "#4f9be8",
  colorNeutralForegroundOnBrand: "#0a1a2a",
  colorCompoundBrandBackground: "#62abf5",
  colorCompoundBrandForeground1: "#62abf5",
};

export type ThemeChoice = "light" | "dark" | "system";
