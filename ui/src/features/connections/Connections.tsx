// The systems of a migration, each with its fields, its secrets, and a test that says step by step what works.
import { Button, Skeleton, SkeletonItem } from "@fluentui/react-components";
import { ArrowRightRegular } from "@fluentui/react-icons";
import { useTranslation } from "react-i18next";
import { useProject } from "../../app/project";
import { ErrorCard, Notice } from "../../design/ErrorCard";
import { AzureCard } from "./AzureCard";
import { Fixed } from "./fields";
import { ManagedCard } from "./ManagedCard";
import { RightsCard } from "./RightsCard";
import { SqlCard } from "./SqlCard";
import { VCenterCard } from "./VCenterCard";
import s from "./connections.module.css";

export default function Connections() {
  const { t } = useTranslation();
  const { project, error, reload, info, go } = useProject();
  if (error) {
    return (
      <div className={s.page}>
        <ErrorCard error={error} onRetry={reload} />
      </div>
    );
  }
  return (
    <div className={s.page} data-testid="connections">
      <div className={s.inner}>
        <div className={s.head}>
          <div>
            <h1>{t("connect.title")}</h1>
            <p>{t("connect.text")}</p>
          </div>
          <Button iconPosition="after" icon={<ArrowRightRegular />} onClick={() => go("inventory")}>
            {t("connect.next")}
          </Button>
        </div>
        {info?.secrets.kept === "thisStartOnly" ? (
          <Notice title={t("secrets.thisStart")}>
            <p data-testid="secrets-notice">
              {info.secrets.reason} {info.secrets.hint}
            </p>
          </Notice>
        ) : null}
        {project?.rehearsal || project?.live ? (
          <p className={s.note}>
            {project.rehearsal ? t("connect.rehearsal") : ""} {project.live ? t("connect.live") : ""}
          </p>
        ) : null}
        {project ? (
          <Fixed value={project.live}>
            <div className={s.cards}>
              <VCenterCard key={`vcenter ${project.path}`} project={project} />
              <AzureCard key={`azure ${project.path}`} project={project} />
              <SqlCard key={`sql ${project.path}`} project={project} />
              <ManagedCard key={`managed ${project.path}`} project={project} />
            </div>
            <RightsCard key={`rights ${project.path}`} project={project} />
          </Fixed>
        ) : (
          <Skeleton className={s.cards} aria-label={t("app.loading")}>
            <SkeletonItem className={s.skeleton} />
            <SkeletonItem className={s.skeleton} />
          </Skeleton>
        )}
      </div>
    </div>
  );
}
