// What a migrated machine shows on its console: the proof that only a person can judge.
import { Button, Spinner } from "@fluentui/react-components";
import { ArrowClockwise16Regular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ErrorCard } from "../../design/ErrorCard";
import { useHost } from "../../host";
import type { Screenshot as Picture } from "../../host/gen/Screenshot";
import type { UiError } from "../../host/gen/UiError";
import s from "./run.module.css";

type Props = { project: string; address: string };

export function Screenshot({ project, address }: Props) {
  const { t } = useTranslation();
  const host = useHost();
  const picture = useQuery<Picture, UiError>({
    queryKey: ["screenshot", project, address],
    queryFn: () => host.call("vm_screenshot", { project, address }),
    // The picture is some hundred kilobytes, and a machine's screen changes: it is read anew on request.
    staleTime: Infinity,
    retry: false,
  });
  const again = () => void picture.refetch();
  if (picture.error) return <ErrorCard error={picture.error} onRetry={again} />;
  return (
    <figure className={s.screenshot}>
      {/* As large as the picture from the start: what is below must not move under a click. */}
      <div className={s.console}>
        {picture.data ? (
          <img src={picture.data.dataUrl} alt={t("screenshot.alt", { vm: picture.data.vm })} />
        ) : (
          <Spinner size="small" label={t("screenshot.reading")} appearance="inverted" />
        )}
      </div>
      <figcaption>
        <span>{t("screenshot.caption")}</span>
        <Button
          size="small"
          appearance="subtle"
          icon={<ArrowClockwise16Regular />}
          disabled={picture.isFetching}
          onClick={again}
        >
          {t("screenshot.again")}
        </Button>
      </figcaption>
    </figure>
  );
}
