"""`cost` and `plan estimate --store` as users call them."""


def test_costs_by_side_with_json_alarms_and_a_forecast(shell) -> None:
    shell("run", "dear.plan.yaml")
    shell("run", "dear.plan.yaml")

    told = shell("cost", "--by", "pool", "--json").json
    (row,) = told["rows"]
    assert (told["by"], told["runs"], told["whole"], told["alarms"]) == ("pool", 2, True, [])
    assert (row["name"], row["usd"], row["without_usd"]) == ("desk", 1.0, 1.0)
    assert told["saved"] == {"cache": 0.0, "routing": 0.0, "compression": 0.0, "batch": 0.0}
    by_step = shell("cost", "--by", "step").lines
    assert [line.split()[0] for line in by_step] == ["STEP", "dear/one", "dear/two", "total"]
    assert shell("cost", "--since", "1h", "--by", "tenant").lines[1].split()[:2] == ["default", "1.0000"]
    assert shell("cost", "--tenant", "nobody", "--json").json["runs"] == 0
    assert "nobody spends 10 times its habit today" in shell("cost", "--alarms").err
    assert shell("cost", "--alarms", "--json").json == []
    assert "--since" in shell("cost", "--since", "soon", code=2).err

    told = shell("plan", "estimate", "dear.plan.yaml", "--store", "sqlite:///.orchestrator/journal.db").lines
    assert told[-3:] == [
        "forecast: 0.5000 USD; 10 to 90 % of 2 earlier runs cost 0.5000 to 0.5000",
        "  one: 0.2500 USD on average of 2 runs",
        "  two: 0.2500 USD on average of 2 runs",
    ]
