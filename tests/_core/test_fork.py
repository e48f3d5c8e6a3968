"""Processes forked from one in which polars has worked, and other ways to start workers."""

from __future__ import annotations

import pytest
import servers

from synfin_analytics._core import fork as _fork
from synfin_analytics.exceptions import ForkedProcessError, SynfinError

#: Each line waits for ever in such a child, unless it is refused.
WAITS = {
    "load_df": 'load_df(pd.DataFrame({"merchant_id": ["M9"]}), "merchants")',
    "read_df as polars": 'read_df("transactions", output="polars")',
    "simulate": "simulate(20, 10, 10)",
    "engineer_features": "engineer_features(pandas)",
    "window_features": 'window_features(pandas, by="customer_id", windows=["1d"])',
    "handbook_features": "handbook_features(pandas)",
    "detect_patterns": "detect_patterns(pandas)",
    "detect_anomalies": "detect_anomalies(pandas)",
    "fit_baseline": "fit_baseline(pandas)",
    "read_layout": 'read_layout(pandas, "handbook")',
    "suggest_columns": "suggest_columns(pandas)",
    "fraud_rate of polars": 'fraud_rate(world.transactions, by="channel")',
    "fraud_rate of a lazy frame": 'fraud_rate(world.transactions.lazy(), by="channel")',
    "evaluate of polars": 'evaluate(world.transactions, "is_fraud", "fraud_score")',
    "an evaluation of the parent": "evaluation.card_precision_at_k(3)",
    "time_split of polars": "time_split(world.transactions)",
    "create": 'MerchantRepository(get_db_session()).create(merchant_id="M9")',
    "update": 'TransactionRepository(get_db_session()).update(first, fraud_reason="x")',
    "engineer": "MLFeaturesRepository(get_db_session()).engineer()",
    "model_report": 'model_report("baseline", "1.0")',
}
WORKS = {
    "read_df": 'read_df("transactions")',
    "read_df as Arrow": 'read_df("transactions", output="arrow")',
    "fraud_rate of pandas": 'fraud_rate(pandas, by="channel")',
    "fraud_rate of Arrow": 'fraud_rate(arrow, by="channel")',
    "a repository": "TransactionRepository(get_db_session()).get_fraud_transactions()",
}
PARENT = """
    import os
    import pandas as pd
    from synfin_analytics import *

    get_db_manager().create_all_tables()
    world = simulate(40, 20, 30, seed=1, output="polars")
    for table, frame in world._asdict().items():
        load_df(frame, table, on_conflict="skip")
    pandas, arrow = world.transactions.to_pandas(), world.transactions.to_arrow()
    first = world.transactions["transaction_id"][0]
    pandas["p"] = 0.5
    evaluation = evaluate(world.transactions.with_columns(p=world.transactions["amount"] / 1e6),
                          label="is_fraud", score="p")
"""
CHILD = """
    for name, call in {calls!r}.items():
        print(name, end=": ", flush=True)
        if not (child := os.fork()):
            try:
                eval(call)
                print("worked", flush=True)
            except Exception as error:
                print(type(error).__name__, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    print(len(read_df("transactions")) == len(pandas))
"""


@pytest.fixture
def parent(manager):
    """Run lines in a process of their own, on the tables of ``manager``; give what they print."""

    def run(lines: str) -> list[str]:
        with servers.Program(PARENT + lines) as program:
            return program.finish().splitlines()

    return run


def test_what_would_wait_for_the_parents_threads_is_refused_at_once(parent):
    output = parent(CHILD.format(calls=WAITS))

    assert output == [*(f"{name}: {ForkedProcessError.__name__}" for name in WAITS), "True"]


def test_what_needs_no_such_threads_works_in_a_forked_process(parent):
    assert parent(CHILD.format(calls=WORKS)) == [*(f"{name}: worked" for name in WORKS), "True"]


def test_the_refusal_names_what_to_do(monkeypatch):
    monkeypatch.setattr(_fork, "_lost_pool", True)

    with pytest.raises(SynfinError, match=r'get_context\("spawn"\).*"loky"'):
        _fork.require_thread_pool()


def test_a_process_that_is_forked_before_polars_worked_may_use_all(manager):
    program = """
        import os
        import pandas as pd
        from synfin_analytics import load_df, read_df

        for name in ("M1", "M2"):
            if not (child := os.fork()):
                report = load_df(pd.DataFrame({"merchant_id": [name]}), "merchants")
                print(report.inserted, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        print(len(read_df("merchants")))
    """
    with servers.Program(program) as begun:
        assert begun.finish().split() == ["1", "1", "2"]


@pytest.mark.parametrize("way", ["spawn", "forkserver", "loky"])
def test_workers_that_start_afresh_load(manager, open_folder, way):
    (open_folder / "worker.py").write_text(
        "import pandas as pd\n"
        "from synfin_analytics import load_df\n\n\n"
        "def load(name):\n"
        '    return load_df(pd.DataFrame({"merchant_id": [name]}), "merchants").inserted\n'
    )
    program = f"""
        import multiprocessing, sys
        sys.path.insert(0, {str(open_folder)!r})
        from worker import load

        print(load("M0"))
        if {way!r} == "loky":
            from joblib import Parallel, delayed

            print(Parallel(2, backend="loky")(delayed(load)(name) for name in ("M1", "M2")))
        else:
            with multiprocessing.get_context({way!r}).Pool(2) as pool:
                print(pool.map(load, ["M1", "M2"]))
    """
    env = {"PYTHONPATH": f"{open_folder}:{':'.join(servers._PATHS)}"}
    with servers.Program(program, env=env) as begun:
        assert begun.finish().splitlines() == ["1", "[1, 1]"]
