"""How tight an anchor? One policy for each β in the nano lab, where a run takes seconds: python sweep.py"""

import trueward as tw

if __name__ == "__main__":
    quick = {"policy.steps": 40, "evaluation.control": "never"}
    result = tw.sweep("nano", {"policy.kl_coef": [0, 0.1, 0.3, 3]}, quick, out="sweep")
    print(result)
    print("best:", result.best, "| page:", result.path / "sweep.html")
    runs = [tw.Run(result.path / name) for name in result.runs["run"]]
    print(tw.frontier(runs))
    print(tw.doctor(runs[0]))
