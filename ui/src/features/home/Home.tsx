// Where an admin begins: rehearse the sample without anything at hand, or go on with a project.
import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Input,
  Skeleton,
  SkeletonItem,
  Spinner,
  Tooltip,
} from "@fluentui/react-components";
import { AddRegular, DismissRegular, FolderOpenRegular, PlayRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { dateTime } from "../../design/format";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { StatusIcon } from "../../design/StatusIcon";
import { useCommand, useHost } from "../../host";
import type { Screen } from "../../app/view";
import type { ProjectView } from "../../host/gen/ProjectView";
import type { ProjectSummary } from "../../host/gen/ProjectSummary";
import type { RehearsalOptions } from "../../host/gen/RehearsalOptions";
import type { UiError } from "../../host/gen/UiError";
import { USUAL } from "./options";
import { RehearseDialog } from "./RehearseDialog";
import s from "./home.module.css";

/** What the program was started for is done once, not again at each visit. */
let begun = false;

/** Where to go on in a project: where its work stands. */
const entry = (project: ProjectView): Screen => (project.run ? "run" : project.inventory ? "plan" : "connect");

export default function Home() {
  const { t } = useTranslation();
  const host = useHost();
  const { open: show, info } = useProject();
  const projects = useQuery<ProjectSummary[], UiError>({
    queryKey: ["projects"],
    queryFn: () => host.call("projects_list", {}),
    staleTime: 0,
  });
  const rehearse = useCommand("rehearse_sample");
  const open = useCommand("project_open");
  const forget = useCommand("project_forget");
  const [choosing, setChoosing] = useState(false);
  const [naming, setNaming] = useState(false);
  const start = info?.start;
  const { mutate: rehearseNow } = rehearse;
  const { mutate: openNow } = open;
  useEffect(() => {
    if (!start || start.with === "home" || begun) return;
    begun = true;
    if (start.with === "rehearse") {
      rehearseNow({ options: start.options }, { onSuccess: (project) => show(project.path, "run") });
    } else openNow({ path: start.path }, { onSuccess: (project) => show(project.path, entry(project)) });
  }, [start, rehearseNow, openNow, show]);
  const failure = [choosing ? null : rehearse.error, open.error, forget.error].find((e) => e && e.code !== "cancelled");
  const rehearseWith = (options: RehearsalOptions) => {
    if (!rehearse.isPending) rehearse.mutate({ options }, { onSuccess: (project) => show(project.path, "run") });
  };
  const openPath = (path: string | null) =>
    open.mutate({ path }, { onSuccess: (project) => show(project.path, entry(project)) });
  return (
    <div className={s.page} data-testid="home">
      <div className={s.inner}>
        <section className={s.hero}>
          <div className={s.heroWords}>
            <h1>{t("home.title")}</h1>
            <p>{t("home.text")}</p>
          </div>
          <div className={s.heroActions}>
            <Button
              appearance="primary"
              size="large"
              icon={rehearse.isPending ? <Spinner size="tiny" /> : <PlayRegular />}
              data-testid="rehearse-sample"
              disabledFocusable={rehearse.isPending}
              onClick={() => rehearseWith(USUAL)}
            >
              {t(rehearse.isPending ? "home.rehearsing" : "home.rehearse")}
            </Button>
            <Button
              appearance="subtle"
              className={s.quiet}
              data-testid="rehearse-options"
              disabledFocusable={rehearse.isPending}
              onClick={() => {
                rehearse.reset();
                setChoosing(true);
              }}
            >
              {t("home.options")}
            </Button>
          </div>
        </section>

        {failure ? <ErrorCard error={failure} /> : null}
        {info?.secrets.kept === "thisStartOnly" ? (
          <Notice title={t("secrets.thisStart")}>
            <p>
              {info.secrets.reason} {info.secrets.hint}
            </p>
          </Notice>
        ) : null}

        <section className={s.projects} aria-labelledby="projects-title">
          <div className={s.head}>
            <h2 id="projects-title">{t("home.projects")}</h2>
            <Button icon={<AddRegular />} data-testid="project-new" onClick={() => setNaming(true)}>
              {t("home.new")}
            </Button>
            <Button
              icon={<FolderOpenRegular />}
              data-testid="project-open"
              disabled={open.isPending}
              onClick={() => openPath(null)}
            >
              {t("home.open")}
            </Button>
          </div>
          {projects.error ? <ErrorCard error={projects.error} onRetry={() => void projects.refetch()} /> : null}
          {projects.isPending ? (
            <Skeleton className={s.list} aria-label={t("app.loading")}>
              {[0, 1, 2].map((n) => (
                <SkeletonItem key={n} className={s.skeleton} />
              ))}
            </Skeleton>
          ) : null}
          {projects.data?.length === 0 ? (
            <div className={s.empty} data-testid="projects-empty">
              <h3>{t("home.emptyTitle")}</h3>
              <p>{t("home.emptyText")}</p>
            </div>
          ) : null}
          <ul className={s.list}>
            {projects.data?.map((project) => (
              <li key={project.path} className={s.card} data-testid="project-card" data-path={project.path}>
                <button
                  type="button"
                  className={s.cardMain}
                  disabled={open.isPending}
                  aria-describedby={undefined}
                  onClick={() => openPath(project.path)}
                >
                  <StatusIcon mark={markOf(project)} size={20} />
                  <span className={s.cardWords}>
                    <span className={s.cardTitle}>
                      <span className="cut">{project.name}</span>
                      {project.rehearsal ? <span className={s.badge}>{t("app.rehearsal")}</span> : null}
                    </span>
                    <span className={`${s.cardPath} cut`} title={project.path}>
                      {project.path}
                    </span>
                  </span>
                  <span className={s.cardState} data-problem={project.problem !== null || undefined}>
                    <span
                      className={project.problem ? s.problem : "cut"}
                      title={project.problem ?? project.state ?? ""}
                    >
                      {project.problem ?? project.state}
                    </span>
                    {project.percent !== null && !project.problem ? (
                      <span
                        className={s.meter}
                        data-done={project.percent >= 100 || undefined}
                        role="img"
                        aria-label={t("home.percent", { n: Math.floor(project.percent) })}
                      >
                        <span style={{ width: `${project.percent}%` }} />
                      </span>
                    ) : null}
                  </span>
                  <time className={`${s.when} num`} dateTime={project.opened}>
                    {dateTime(project.opened)}
                  </time>
                </button>
                <Tooltip content={t("home.forget")} relationship="label">
                  <Button
                    appearance="subtle"
                    icon={<DismissRegular />}
                    onClick={() => forget.mutate({ path: project.path })}
                  />
                </Tooltip>
              </li>
            ))}
          </ul>
        </section>
      </div>
      <RehearseDialog
        open={choosing}
        busy={rehearse.isPending}
        error={rehearse.error}
        onRehearse={rehearseWith}
        onClose={() => setChoosing(false)}
      />
      <NewProject open={naming} onClose={() => setNaming(false)} />
    </div>
  );
}

/** The listed state is a sentence; which icon stands before it follows from the numbers beside it. */
function markOf(project: ProjectSummary) {
  if (project.problem) return "failed";
  if (project.percent === null) return "later";
  return project.percent >= 100 ? "done" : "waiting";
}

function NewProject({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const { open: show } = useProject();
  const create = useCommand("project_new");
  const [name, setName] = useState("");
  const valid = name.trim().length > 0;
  const close = () => {
    create.reset();
    setName("");
    onClose();
  };
  const failed = create.error && create.error.code !== "cancelled" ? create.error : null;
  return (
    <Dialog open={open} onOpenChange={(_, data) => data.open || close()}>
      <DialogSurface className={s.dialog}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (!valid || create.isPending) return;
            create.mutate(
              { name: name.trim() },
              {
                onSuccess: (project) => {
                  close();
                  show(project.path, "connect");
                },
              },
            );
          }}
        >
          <DialogBody>
            <DialogTitle>{t("home.newTitle")}</DialogTitle>
            <DialogContent className={s.form}>
              <Field label={t("home.newName")} hint={t("home.newHint")} required>
                <Input
                  value={name}
                  maxLength={80}
                  data-testid="project-name"
                  onChange={(_, data) => setName(data.value)}
                />
              </Field>
              {failed ? <ErrorCard error={failed} /> : null}
            </DialogContent>
            <DialogActions>
              <Button onClick={close}>{t("common.cancel")}</Button>
              <Button
                type="submit"
                appearance="primary"
                data-testid="project-create"
                disabled={!valid || create.isPending}
              >
                {t("home.create")}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
