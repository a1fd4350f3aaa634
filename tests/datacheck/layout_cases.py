"""Invented preference data in the structures of public data sets: for each layout what it is, and the pairs in it."""

import json

ASKED = "What is a glacier?"
GOOD, BAD = "A slowly moving mass of ice.", "A kind of bird."
ASKED_2 = "How do I boil an egg?"
GOOD_2, BAD_2 = "Eight minutes in boiling water.", "Throw it away."
ASKED_3 = "Why is the sky blue?"
GOOD_3, BAD_3 = "Air scatters blue light most.", "Because of the sea."
TEXTS = ((ASKED, GOOD, BAD), (ASKED_2, GOOD_2, BAD_2), (ASKED_3, GOOD_3, BAD_3))


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def human(text):
    return {"from": "human", "value": text}


def gpt(text):
    return {"from": "gpt", "value": text}


def parts(text):
    return [{"type": "text", "value": text}]


def begun(q, good, bad):
    steps = good[:2] if good[:2] == bad[:2] else ""
    sides = {"chosen": good[len(steps) :], "rejected": bad[len(steps) :]}
    return {"dataset": "x", "prompt": q, "initial_reason_steps": steps, **sides, "full_chosen": good, "answer": "7"}


LAYOUTS = {
    "pairs": lambda q, good, bad: {"prompt": q, "chosen": good, "rejected": bad},
    "HH": lambda q, good, bad: {
        "chosen": f"\n\nHuman: {q}\n\nAssistant: {good}",
        "rejected": f"\n\nHuman: {q}\n\nAssistant: {bad}",
    },
    "Step-DPO": begun,
    "Unified-Feedback": lambda q, good, bad: {
        "id": "7",
        "source": "x",
        "conv_A": [user(q), assistant(bad)],
        "conv_B": [user(q), assistant(good)],
        "conv_A_rating": 1.0,
        "conv_B_rating": 3.5,
    },
    "UltraFeedback binarized": lambda q, good, bad: {
        "prompt": q,
        "prompt_id": "5f",
        "chosen": [user(q), assistant(good)],
        "rejected": [user(q), assistant(bad)],
        "messages": [user(q), assistant(good)],
        "score_chosen": 8.5,
        "score_rejected": 4.0,
    },
    "UltraFeedback": lambda q, good, bad: {
        "source": "evol_instruct",
        "instruction": q,
        "models": ["a", "b"],
        "completions": [
            {"model": "a", "response": bad, "overall_score": 9.0, "fine-grained_score": 2.0},
            {"model": "b", "response": good, "overall_score": 8.0, "fine-grained_score": 4.5},
        ],
        "correct_answers": ["None"],
    },
    "OASST trees": lambda q, good, bad: {
        "message_tree_id": "t1",
        "tree_state": "ready_for_export",
        "prompt": {
            "message_id": "t1",
            "text": q,
            "role": "prompter",
            "lang": "en",
            "replies": [
                {"message_id": "a", "text": bad, "role": "assistant", "rank": 1, "replies": []},
                {"message_id": "b", "text": good, "role": "assistant", "rank": 0, "replies": []},
            ],
        },
    },
    "Nectar": lambda q, good, bad: {
        "prompt": f"\n\nHuman: {q}\n\nAssistant: ",
        "answers": [
            {"answer": bad, "model": "x", "rank": 2.0},
            {"answer": good, "model": "y", "rank": 1.0},
        ],
        "turns": 1,
        "num_responses": 2,
        "source": ["sharegpt"],
        "good_natured": True,
    },
    "SHP": lambda q, good, bad: {
        "post_id": "p",
        "domain": "askx_train",
        "history": q,
        "human_ref_A": good,
        "human_ref_B": bad,
        "labels": 1,
        "score_A": 9,
        "score_B": 3,
        "score_ratio": 3.0,
    },
    "PKU-SafeRLHF": lambda q, good, bad: {
        "prompt": q,
        "response_0": bad,
        "response_1": good,
        "is_response_0_safe": True,
        "is_response_1_safe": False,
        "better_response_id": 1,
        "safer_response_id": 0,
    },
    "HelpSteer3": lambda q, good, bad: {
        "domain": "general",
        "language": "english",
        "context": [user(q)],
        "response1": good,
        "response2": bad,
        "overall_preference": -3,
        "individual_preference": [{"score": -3, "reasoning": "ice"}],
    },
    "HelpSteer2-Preference": lambda q, good, bad: {
        "split": "train",
        "prompt": q,
        "response_1": bad,
        "response_2": good,
        "preference_strength": 1,
        "preference_statement": "@Response 2 is slightly better",
    },
    "Skywork": lambda q, good, bad: {
        "chosen": [user(q), assistant(good)],
        "rejected": [user(q), assistant(bad)],
        "source": "magpie_ultra",
    },
    "RewardBench": lambda q, good, bad: {
        "prompt": q,
        "chosen": good,
        "chosen_model": "x",
        "rejected": bad,
        "rejected_model": "y",
        "subset": "chat",
    },
    "RewardBench 2": lambda q, good, bad: {
        "prompt": q,
        "chosen": [good],
        "rejected": [bad],
        "num_correct": 1,
        "num_rejected": 1,
        "models": ["x", "y"],
        "subset": "Factuality",
    },
    "LLaMA-Factory sharegpt": lambda q, good, bad: {
        "conversations": [human(q)],
        "chosen": gpt(good),
        "rejected": gpt(bad),
    },
    "LLaMA-Factory alpaca": lambda q, good, bad: {"instruction": q, "input": "", "chosen": good, "rejected": bad},
    "LLaMA-Factory alpaca list": lambda q, good, bad: {
        "instruction": q,
        "input": "",
        "output": [good, bad],
        "history": [],
    },
    "LLaMA-Factory v1": lambda q, good, bad: {
        "chosen_messages": [
            {"role": "user", "content": parts(q), "loss_weight": 0.0},
            {"role": "assistant", "content": parts(good), "loss_weight": 1.0},
        ],
        "rejected_messages": [
            {"role": "user", "content": parts(q), "loss_weight": 0.0},
            {"role": "assistant", "content": parts(bad), "loss_weight": 1.0},
        ],
    },
    "MedicalGPT": lambda q, good, bad: {
        "system": "",
        "history": [],
        "question": q,
        "response_chosen": good,
        "response_rejected": bad,
    },
    "MedicalGPT conversations": lambda q, good, bad: {"conversations": [human(q)], "chosen": good, "rejected": bad},
    "NeMo-RL": lambda q, good, bad: {
        "context": [user(q)],
        "completions": [
            {"rank": 1, "completion": [assistant(bad)]},
            {"rank": 0, "completion": [assistant(good)]},
        ],
    },
    "NeMo DPO": lambda q, good, bad: {
        "prompt": q,
        "chosen_response": good,
        "rejected_response": bad,
        "chosen_reward": 5,
        "rejected_reward": 1,
    },
    "alpaca_farm": lambda q, good, bad: {
        "instruction": q,
        "input": "",
        "output_1": bad,
        "output_2": good,
        "preference": 2,
    },
    "response_j/k": lambda q, good, bad: {"qid": 1, "question": q, "response_j": good, "response_k": bad, "date": "x"},
    "reject": lambda q, good, bad: {"prompt": q, "chosen": good, "reject": bad},
    "selected": lambda q, good, bad: {"prompt": q, "selected": good, "rejected": bad},
    "distilabel orca": lambda q, good, bad: {
        "system": "",
        "input": q,
        "chosen": good,
        "rejected": bad,
        "generations": [good, bad],
        "status": "unchanged",
    },
    "argilla ultrafeedback": lambda q, good, bad: {
        "source": "flan",
        "instruction": q,
        "chosen_response": good,
        "rejected_response": bad,
        "chosen_avg_rating": 5.0,
        "rejected_avg_rating": 3.75,
    },
    "WebGPT": lambda q, good, bad: {
        "question": {"dataset": "eli5", "id": "1", "full_text": q},
        "answer_0": bad,
        "answer_1": good,
        "score_0": -0.5,
        "score_1": 0.5,
    },
    "summarize_from_feedback": lambda q, good, bad: {
        "info": {"id": "t3", "post": q, "title": "x"},
        "summaries": [{"text": bad, "policy": "sup"}, {"text": good, "policy": "ref"}],
        "choice": 1,
    },
    "arena": lambda q, good, bad: {
        "question_id": "7",
        "model_a": "x",
        "model_b": "y",
        "winner": "model_b",
        "conversation_a": [user(q), assistant(bad)],
        "conversation_b": [user(q), assistant(good)],
    },
    "responses with scores": lambda q, good, bad: {"prompt": q, "responses": [bad, good], "scores": [0.1, 0.9]},
    "ms-swift": lambda q, good, bad: {"messages": [user(q), assistant(good)], "rejected_response": bad},
    "ms-swift, both whole": lambda q, good, bad: {
        "messages": [user(q), assistant(good)],
        "rejected_messages": [user(q), assistant(bad)],
    },
    "ms-swift, before 3": lambda q, good, bad: {"query": q, "response": good, "rejected_response": bad, "history": []},
    "OpenAI preference": lambda q, good, bad: {
        "input": {"messages": [user(q)], "tools": []},
        "preferred_output": [assistant(good)],
        "non_preferred_output": [assistant(bad)],
    },
    "CValues": lambda q, good, bad: {"prompt": q, "pos_resp": good, "neg_resp": bad, "pos_type": "safe"},
    "turns with text": lambda q, good, bad: {
        "context": [{"role": "human", "text": q}],
        "chosen": {"role": "assistant", "text": good},
        "rejected": {"role": "assistant", "text": bad},
    },
    "UltraInteract": lambda q, good, bad: {"trajectory": [human(q)], "chosen": good, "rejected": bad},
    "JudgeBench": lambda q, good, bad: {"question": q, "response_A": bad, "response_B": good, "label": "B>A"},
    "StackExchange preferences": lambda q, good, bad: {
        "qid": 7,
        "question": q,
        "answers": [
            {"answer_id": 1, "author": "a", "pm_score": 1, "selected": False, "text": bad},
            {"answer_id": 2, "author": "b", "pm_score": 5, "selected": True, "text": good},
        ],
        "date": "2011",
    },
    "Preference Collection": lambda q, good, bad: {
        "orig_criteria": "Is it right?",
        "orig_preference": "B",
        "orig_response_A": bad,
        "orig_response_B": good,
        "orig_instruction": q,
        "instruction": "Judge these two.",
        "output": "B is right.",
    },
    "LLMBar": lambda q, good, bad: {"input": q, "output_1": bad, "output_2": good, "label": 2},
    "distilabel": lambda q, good, bad: {"instruction": q, "generations": [bad, good], "ratings": [1.0, 4.0]},
    "two answers, the better named": lambda q, good, bad: {
        "question": q,
        "answer_a": bad,
        "answer_b": good,
        "winner": "B",
    },
}
"""Layout → a record of a question, its better and its worse answer."""

MARGINS = {
    "UltraFeedback binarized": 4.5,
    "UltraFeedback": 2.5,
    "SHP": 6.0,
    "HelpSteer3": 3.0,
    "HelpSteer2-Preference": 1.0,
    "NeMo DPO": 4.0,
    "argilla ultrafeedback": 1.25,
    "WebGPT": 1.0,
    "Unified-Feedback": 2.5,
    "responses with scores": 0.8,
    "StackExchange preferences": 4.0,
    "distilabel": 3.0,
}
"""What scores or strengths say; a layout that is not here has none."""

ROWS = {
    "rank a row": lambda q, good, bad: [
        {"prompt": q, "answer": good, "rank": 1},
        {"prompt": q, "answer": bad, "rank": 2},
    ],
    "HelpSteer": lambda q, good, bad: [
        {"prompt": q, "response": bad, "helpfulness": 1, "correctness": 3, "coherence": 4, "verbosity": 1},
        {"prompt": q, "response": good, "helpfulness": 4, "correctness": 4, "coherence": 4, "verbosity": 2},
    ],
    "NeMo-Aligner": lambda q, good, bad: [
        {"text": f"User: {q}\nAssistant: {good}"},
        {"text": f"User: {q}\nAssistant: {bad}"},
    ],
    "OASST messages": lambda q, good, bad: [
        _message(q, "root", None, "prompter", None, q),
        _message(good, "good", "root", "assistant", 0.0, q),
        _message(bad, "bad", "root", "assistant", 1.0, q),
    ],
}
"""The same for layouts of several records a pair."""


def _message(text, name, parent, role, rank, tree):
    parent = parent and f"{tree}/{parent}"
    return {
        "message_id": f"{tree}/{name}",
        "parent_id": parent,
        "message_tree_id": tree,
        "text": text,
        "role": role,
        "lang": "en",
        "rank": rank,
        "deleted": False,
    }


def records(name, texts=TEXTS):
    """The records of a layout's file with a pair for each of `texts`."""
    if name in ROWS:
        return [record for text in texts for record in ROWS[name](*text)]
    return [LAYOUTS[name](*text) for text in texts]


def write_lines(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in found))
    return path


NAMES = [*LAYOUTS, *ROWS]
