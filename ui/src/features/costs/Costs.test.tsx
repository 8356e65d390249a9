import { FluentProvider } from "@fluentui/react-components";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { lightTheme } from "../../design/theme";
import { HostProvider } from "../../host";
import type { CostLine } from "../../host/gen/CostLine";
import type { CostsView } from "../../host/gen/CostsView";
import type { Host } from "../../host/types";
import { CostFigures, Costs, CostsSum } from "./Costs";

const PATH = "/p.rehost";
const line = (what: string, perMonth: number | null, more: Partial<CostLine> = {}): CostLine => ({
  what,
  note: "",
  tasks: [],
  lasts: true,
  price:
    perMonth === null
      ? null
      : { quantity: 8, unitPrice: 0.1, unit: "1 Hour", perHour: 0.8, perMonth, meter: "Compute · vCore" },
  missing: perMonth === null ? "It was not found in the price list." : null,
  ...more,
});
const costs = (more: Partial<CostsView> = {}): CostsView => ({
  costs: {
    lines: [
      line("db: 8 vCores", 584, { tasks: ["step-1/managed-instance/db"] }),
      line("web: disks", null),
      line("web: Site Recovery", 25, { lasts: false }),
    ],
    perMonth: 584,
    missing: ["web: disks"],
    byUse: ["Traffic over a peering is charged by the GB."],
  },
  currency: "USD",
  currencies: ["USD", "EUR"],
  cloud: "Azure",
  source: "prices.contoso.com",
  readAt: "2026-11-21T19:00:00Z",
  ...more,
});

function show(node: React.ReactNode, call: Host["call"]) {
  const host: Host = { call, stream: () => () => undefined, onCloseAsked: () => () => undefined };
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <FluentProvider theme={lightTheme}>
      <HostProvider value={host}>
        <QueryClientProvider client={queries}>{node}</QueryClientProvider>
      </HostProvider>
    </FluentProvider>,
  );
}

const answering = (...answers: (CostsView | Error)[]) => {
  const call = vi.fn();
  for (const answer of answers) {
    if (answer instanceof Error)
      call.mockRejectedValueOnce({ code: "unreachable", title: answer.message, detail: "", hint: "" });
    else call.mockResolvedValueOnce(answer);
  }
  return call as unknown as Host["call"] & typeof call;
};

it("shows each price, the sum, what the sum lacks, and where the figures are from", async () => {
  show(<Costs project={PATH} />, answering(costs()));
  expect(screen.getByRole("status")).toHaveTextContent("Reading the prices…");
  const [compute, disks, recovery] = await screen.findAllByTestId("cost-line");
  expect(compute).toHaveTextContent("db: 8 vCores8 × US$0.10 an hourUS$0.80US$584.00");
  expect(disks).toHaveTextContent("It was not found in the price list.");
  expect(screen.getByTestId("costs-sum")).toHaveTextContent("not in the sum: web: disks.US$584.00");
  expect(screen.getByTestId("costs-sum").compareDocumentPosition(recovery as Node)).toBe(
    Node.DOCUMENT_POSITION_FOLLOWING,
  );
  expect(screen.getByTestId("costs-source")).toHaveTextContent("prices.contoso.com, read 21 Nov 2026");
  expect(screen.getByRole("region", { name: "What it costs" })).toHaveTextContent("Traffic over a peering");
});

it("reads the prices in another currency", async () => {
  const call = answering(costs(), costs({ currency: "EUR" }));
  show(<Costs project={PATH} />, call);
  await userEvent.click(await screen.findByTestId("costs-currency"));
  await userEvent.click(screen.getByTestId("currency-EUR"));
  expect(await screen.findByText(/for orientation/)).toBeInTheDocument();
  expect(call.mock.calls.map(([, args]) => args.currency)).toEqual([null, "EUR"]);
  expect(screen.getByTestId("costs-sum")).toHaveTextContent("€584.00");
});

it("says why prices could not be read, shows no figure, and reads them again", async () => {
  const call = answering(new Error("The list can't be reached"), costs());
  show(
    <>
      <CostsSum project={PATH} />
      <Costs project={PATH} />
    </>,
    call,
  );
  const card = await screen.findByRole("alert");
  expect(card).toHaveTextContent("The list can't be reached");
  expect(screen.queryByTestId("costs-head")).toBeNull();
  await userEvent.click(within(card).getByTestId("retry"));
  expect(await screen.findByTestId("costs-head")).toHaveTextContent("at least US$584.00 a month");
  expect(screen.queryByRole("alert")).toBeNull();
});

it("names the cloud that has no list, and guesses nothing", async () => {
  const none = { lines: [line("db: 8 vCores", null)], perMonth: null, missing: ["db: 8 vCores"], byUse: [] };
  show(
    <Costs project={PATH} />,
    answering(costs({ source: null, readAt: null, cloud: "Azure in China", costs: none })),
  );
  expect(await screen.findByText(/No price list is known for this cloud \(Azure in China\)/)).toBeInTheDocument();
  expect(screen.queryByTestId("costs-source")).toBeNull();
  expect(screen.queryByTestId("costs-sum")).toBeNull();
  expect(screen.getByRole("region")).toHaveTextContent("db: 8 vCores");
});

it("gives a task its own figures, and no other", async () => {
  show(
    <>
      <CostFigures project={PATH} address="step-1/managed-instance/db" />
      <CostFigures project={PATH} address="step-1/peering/x" />
    </>,
    answering(costs()),
  );
  const [figures, ...others] = await screen.findAllByTestId("cost-figures");
  expect(figures).toHaveTextContent("US$0.80 an hour · US$584.00 a month");
  expect(others).toEqual([]);
});
