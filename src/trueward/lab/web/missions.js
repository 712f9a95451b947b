// Things to try: a link that sets the lab up, and what happens there, written down only when it is asked for.

import { $, html } from "./draw.js";

const SIX = "BA.CA.CB.DA.DB.DC.BA.CA.CB.DA.DB.DC"; // A to D compared twice, E never

export const MISSIONS = [
  {
    title: "Pay for what nobody looked at",
    link: `preset=classic&seed=1&clicks=${SIX}&out=E&beta=0.05`,
    todo: "Twelve sound clicks on A to D; nobody was ever asked about E. The leash is loose, β = 0.05.",
    ask: "Where will the policy go: to the best answer you compared, or to the one you did not?",
    outcome:
      "To E. What was never compared keeps its optimistic 1.5, and no click can argue with it. The truth rises to .639 by step 8, " +
      "while the policy still learns from your clicks, and sinks to about .55 as E takes everything. The proxy never stopped rising.",
    word: "hacking",
  },
  {
    title: "The same clicks on a shorter leash",
    link: `preset=classic&seed=1&clicks=${SIX}&out=E&beta=1`,
    todo: "Nothing has changed but β, which is 1 now. Play, then press Sweep β; then try β = 10.",
    ask: "Does the anchor cure the blind spot?",
    outcome:
      "No, but it limits the damage. At β = 1 the truth ends at .673 and stays there; the best of the sweep is .678, at β = .785. E still has " +
      "the largest share: the anchor hides the mistake and does not mend it. At β = 10 the policy is pinned: nothing lost, hardly anything won.",
    word: "learning",
  },
  {
    title: "Look everywhere instead",
    link: "preset=classic&seed=1&clicks=BA.CA.DA.EA.CB.DB.EB.DC.CE.DE&beta=0.05&steps=3000",
    todo: "Each of the ten pairs compared once, and rightly. The leash is as loose as the first time.",
    ask: "Will it hack again?",
    outcome:
      "No. Ten honest clicks leave no blind spot, and the policy goes where they point: true .949, proxy and truth side by side. " +
      "Where the reward is right, a loose anchor is the better one. More clicks in the right place did what no β could.",
    word: "learning",
  },
  {
    title: "One slider, every way to end",
    link: "preset=showcase&seed=1&beta=10",
    todo: "This annotator is sound on A to D and falls for E, which is long, sure of itself, and wrong. Play with β = 10, then 3, 1 and 0.3, each from SFT.",
    ask: "SFT says E once in a hundred times. At which β does that begin to matter?",
    outcome:
      "β = 10 is pinned (.237), 3 learns (.291), 1 is over-optimised (.441 at step 38, .322 at the end), 0.3 hacks: the truth rises to .583 and then falls to " +
      "−1.2, while the proxy only rises. The turn comes where the slope Cov(r*, r̂) crosses 0.",
    word: "pinned",
  },
  {
    title: "Stop at the top",
    link: "preset=showcase&seed=1&beta=0.3&steps=78&sweep=1",
    todo: "The loose leash again, but the run ends after 78 steps. Compare where it stands with the 20 dots. Then set β to 3 and play 300 steps more.",
    ask: "Which is better here: the best β, run to its end, or a poor β, stopped in time?",
    outcome:
      "Stopped in time: .583 against .337 for the best β of the sweep. E is rare at first and gradient ascent is slow to raise what is rare, so the run passes through good country " +
      "on its way to the cliff. But to stop there you must see the truth; the proxy shows no turn. With β = 3 the policy then walks back to .291: an anchor has one " +
      "resting place, wherever you came from.",
    word: "learning",
  },
  {
    title: "Two traps at once",
    link: "preset=fluency&seed=1&beta=0.7",
    todo: "D was never shown to anybody; E is “joy and joy and joy”, and this annotator clicks whatever says joy. Play with β = 0.7, then 0.15, each from SFT. Then try 2.",
    ask: "Which of the two traps does a loose leash open first?",
    outcome:
      "D: at β = 0.7 it has the second largest share, .357, and the truth falls to .311. D is a good sentence, so all that keeps the policy from it is the distance to where the reward was checked. At 0.15 E " +
      "takes over, .694, and the truth is −.965: SFT says E once in a hundred times, so it takes a looser leash to get there. At β = 2 both jobs are done, and the truth stays above where it began.",
    word: "hacking",
  },
  {
    title: "Can an anchor save a wrong reward?",
    link: "preset=always-e&seed=1&beta=0.3",
    todo: "This annotator always chose E. Run it at β = 0.3, 1, 2 and 3, and look for a β that gains anything.",
    ask: "Is there any?",
    outcome:
      "None. At β ≤ 2 it hacks. At β = 3 it is pinned, at .184, still below the .209 where it began. The slope is below 0 from the first step, so the best β is the " +
      "largest: not to move at all. β can hide a wrong reward; it cannot repair it.",
    word: "hacking",
  },
];

/** The list, once; an outcome enters the page when it is opened, and leaves it when it is closed. */
export function listMissions(setUp) {
  const items = MISSIONS.map(({ title, link, todo, ask, outcome }) => {
    const away = html("p", { class: "outcome" });
    const box = html("details", {}, html("summary", {}, "What happens, and why"), away);
    box.addEventListener("toggle", () => {
      away.textContent = box.open ? outcome : "";
    });
    const set = html("a", { href: `#${link}`, class: "button" }, "Set it up");
    set.addEventListener("click", (event) => {
      event.preventDefault();
      setUp(link, title);
    });
    const ways = html("div", { class: "ways" }, set, box);
    return html("li", {}, html("h4", {}, title), html("p", {}, todo), html("p", { class: "ask" }, ask), ways);
  });
  $("mission-list").replaceChildren(...items);
}
