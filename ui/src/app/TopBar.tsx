// Where we are: project, rehearsal or real, the clock; on the run's screen also what is left and the run's controls.
import { Button, Menu, MenuItem, MenuList, MenuPopover, MenuTrigger, Tooltip } from "@fluentui/react-components";
import { ChevronRightRegular, WeatherMoonRegular, WeatherSunnyRegular } from "@fluentui/react-icons";
import { useTranslation } from "react-i18next";
import { dayClock } from "../design/format";
import { RunControls } from "../features/run/RunControls";
import { useClock } from "../features/run/stream";
import { useCommand } from "../host";
import { useProject } from "./project";
import { SPEEDS } from "./speeds";
import type { View } from "./view";
import s from "./app.module.css";

export function TopBar({
  view,
  dark,
  onTheme,
}: {
  view: View;
  dark: boolean;
  onTheme: (theme: "light" | "dark") => void;
}) {
  const { t } = useTranslation();
  const { project, close, run, live } = useProject();
  return (
    <header className={s.top}>
      <button type="button" className={s.brand} onClick={close} aria-label={t("app.home")}>
        <Logo />
        <span>{t("app.name")}</span>
      </button>
      {project && view.project ? (
        <>
          <span className={`${s.crumbs} cut`}>
            {project.name}
            <ChevronRightRegular fontSize={12} aria-hidden />
            {t(`screen.${view.screen}`)}
          </span>
          {project.rehearsal ? <span className={s.rehearsal}>{t("app.rehearsal")}</span> : null}
          {run && live ? <ClockPill /> : null}
        </>
      ) : null}
      <span className={s.spring} />
      {view.screen === "run" && run ? <RunControls /> : null}
      <Tooltip content={t(dark ? "app.light" : "app.dark")} relationship="label">
        <Button
          appearance="subtle"
          data-testid="theme-toggle"
          icon={dark ? <WeatherSunnyRegular /> : <WeatherMoonRegular />}
          onClick={() => onTheme(dark ? "light" : "dark")}
        />
      </Tooltip>
    </header>
  );
}

function ClockPill() {
  const { t } = useTranslation();
  const { project, run, live } = useProject();
  const now = useClock(run, live);
  const setSpeed = useCommand("set_speed");
  if (!project || !run) return null;
  if (!project.rehearsal) return <span className={s.pill}>{dayClock(now)}</span>;
  const words = t("app.labTime", { time: dayClock(now), speed: speedWord(run.clock.speed) });
  return (
    <Menu>
      <MenuTrigger disableButtonEnhancement>
        <button
          type="button"
          className={`${s.pill} num`}
          data-testid="speed-menu"
          aria-label={`${words}. ${t("app.changeSpeed")}`}
        >
          {words}
        </button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          {SPEEDS.map((speed) => (
            <MenuItem
              key={speed}
              data-testid={`speed-${speed}`}
              onClick={() => setSpeed.mutate({ project: project.path, speed })}
              secondaryContent={speed === run.clock.speed ? t("app.speedNow") : undefined}
            >
              {speedWord(speed)}
            </MenuItem>
          ))}
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

const speedWord = (speed: number) => `${speed.toLocaleString("en-GB")}×`;

export function Logo({ size = 24 }: { size?: number }) {
  return (
    <svg
      className={s.logo}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden
    >
      <path d="M3 11.5 12 4l9 7.5" />
      <path d="M5 10v9.5h4M19 10v9.5h-4" />
      <path d="M8.5 15h7m-2.6-2.6 2.6 2.6-2.6 2.6" />
    </svg>
  );
}
