// The screens in the order an admin works. Only what exists is here.
import {
  ArrowSyncCircleRegular,
  DocumentTextRegular,
  LinkRegular,
  PlayRegular,
  ServerRegular,
  TaskListLtrRegular,
  WindowRegular,
} from "@fluentui/react-icons";
import { Tooltip } from "@fluentui/react-components";
import { useTranslation } from "react-i18next";
import { needs } from "../features/run/model";
import { useProject } from "./project";
import { SCREENS, type Screen, type View } from "./view";
import s from "./app.module.css";

const ICONS: Record<Screen, typeof ArrowSyncCircleRegular> = {
  projects: WindowRegular,
  connect: LinkRegular,
  inventory: ServerRegular,
  plan: TaskListLtrRegular,
  run: PlayRegular,
  report: DocumentTextRegular,
};

export function Rail({ view }: { view: View }) {
  const { t } = useTranslation();
  const { path, go, close, run, live } = useProject();
  const first = run ? needs(run, live)[0] : undefined;
  const attention = live && first !== undefined && first.kind !== "none" && first.kind !== "done";
  return (
    <nav className={s.rail} aria-label={t("app.screens")}>
      {SCREENS.map((screen) => {
        const Icon = ICONS[screen];
        const disabled = screen !== "projects" && path === null;
        const current = view.screen === screen;
        const button = (
          <button
            key={screen}
            type="button"
            className={s.railItem}
            data-testid={`nav-${screen}`}
            aria-current={current ? "page" : undefined}
            aria-disabled={disabled || undefined}
            onClick={() => {
              if (disabled) return;
              if (screen === "projects" && path === null) close();
              else go(screen);
            }}
          >
            <span className={s.railIcon}>
              <Icon fontSize={20} aria-hidden />
              {screen === "run" && attention ? <span className={s.dot} /> : null}
            </span>
            <span className={s.railWord}>{t(`screen.${screen}`)}</span>
          </button>
        );
        return disabled ? (
          <Tooltip key={screen} content={t("app.needsProject")} relationship="description" positioning="after">
            {button}
          </Tooltip>
        ) : (
          button
        );
      })}
    </nav>
  );
}
