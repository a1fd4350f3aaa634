"""Names of metrics that are looked for in free text, with their figures: `val_loss=0.61`, `val acc: 71 %`."""

from __future__ import annotations

import re

ALIASES = (
    *(
        "train_loss",
        "train loss",
        "training_loss",
        "training loss",
        "loss/train",
        "avg_train_loss",
        "训练损失",
        "训练集损失",
    ),
    *(
        "val_loss",
        "val loss",
        "validation_loss",
        "validation loss",
        "valid_loss",
        "valid loss",
        "eval_loss",
        "eval loss",
    ),
    *(
        "eval/loss",
        "val/loss",
        "loss/val",
        "avg_val_loss",
        "dev_loss",
        "dev loss",
        "验证损失",
        "验证集损失",
        "评估损失",
    ),
    *("val_acc", "val acc", "val_accuracy", "val accuracy", "validation_accuracy", "validation accuracy", "valid_acc"),
    *(
        "valid acc",
        "valid accuracy",
        "eval_accuracy",
        "eval accuracy",
        "eval/accuracy",
        "eval_acc",
        "eval acc",
        "val/acc",
    ),
    *("val/accuracy", "eval_rewards/accuracies", "eval/rewards/accuracies", "dev_acc", "dev acc", "dev accuracy"),
    *(
        "验证准确率",
        "验证集准确率",
        "验证精度",
        "评估准确率",
        "test_acc",
        "test acc",
        "test accuracy",
        "test_loss",
        "test loss",
    ),
    *(
        "测试准确率",
        "测试集准确率",
        "测试损失",
        "测试集损失",
        "train_acc",
        "train acc",
        "train accuracy",
        "training accuracy",
    ),
    *(
        "训练准确率",
        "训练集准确率",
        "accuracy",
        "acc",
        "准确率",
        "eval_margin",
        "eval/margin",
        "val_margin",
        "val margin",
    ),
    *("eval_rewards/margins", "eval/rewards/margins", "reward_margin", "reward margin", "margin"),
    *("loss", "train/loss", "step_loss", "batch_loss", "损失", "learning_rate", "lr", "train/learning_rate", "学习率"),
    *("grad_norm", "gradient_norm", "train/grad_norm"),
    *("rewards/accuracies", "rewards/margins", "train_epoch_loss", "eval_epoch_loss"),
    *("evaluation_loss", "evaluation_accuracy", "evaluation_acc", "eval/acc", "eval/margins", "testing_accuracy"),
    *(
        f"{split}{kind}_{what}"
        for split in ("", "val_", "eval_", "validation_", "train_", "test_")
        for kind in ("pairwise", "preference", "ranking")
        for what in ("acc", "accuracy")
    ),
)
"""Names that are looked for in free text; what they mean, `metric_names` says."""


def key(name: str) -> str:
    """A name without what people write differently: `Val Loss`, `val-loss`, `valLoss` and `val_loss` have one key."""
    return re.sub(r"[^\w/]|_", "", name.lower())


_BETWEEN = r"""[\s_:={(\[|"'-]{0,6}"""
"""What may stand between the words of a name: val_loss, val loss, val-loss, valLoss, val: {"loss"."""
WRITTEN = {key(alias): alias for alias in ALIASES}
"""Key → the spelling of ALIASES."""
_ALIASES = sorted(WRITTEN.values(), key=len, reverse=True)
_NAMES = "|".join(_BETWEEN.join(map(re.escape, re.split("[ _]", alias))) for alias in _ALIASES)
_FIRST = "".join(sorted({alias[0] for alias in _ALIASES} | {"b", "t"}))
_NUMBER = r"[-+]?(?:(?:\d+(?:[.,]\d+)?|\.\d+)(?:e[-+]?\d+)?|nan|inf)"
FIGURE = re.compile(
    rf"""(?<![\w/])(?=["'{_FIRST}])(?P<other>best[\s_:-]{{1,3}})?["']?(?P<name>{_NAMES})["']?
    \s*(?:[:=]|is|→|->|为|是)?\s*["']?(?:tensor\()?(?P<number>{_NUMBER})["']?(?:\s*/\s*(?P<of>\d+))?
    \s*(?P<percent>%|percent|pct)?(?!\w|\.\w)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A name with its figure; `other`: it is the best one so far."""
_A_SPLIT = r"(?:val(?:id(?:ation)?)?|eval(?:uation)?|dev|test|train(?:ing)?)"
_A_FIGURE = r"(?:acc(?:urac(?:y|ies))?|loss|margins?)"
_OF_PAIRS = r"(?:[ ](?:on|of|for)[ ](?:the[ ])?[a-z][\w.-]{0,40}|[ ]?\[[\w ./-]{1,40}\]|[ ]?\([\w ./-]{1,40}\))"
OWN_FIGURE = re.compile(
    rf"""(?<![\w/.@-])["']?(?P<name>{_A_SPLIT}[ _/-]{_A_FIGURE}{_OF_PAIRS}
    |[a-z][\w/.-]{{0,80}}(?:[ ]?(?:\[[\w ./-]{{1,40}}\]|\([\w ./-]{{1,40}}\)|@[\w./-]{{1,40}}))?)["']?
    (?:[ ]?[:=][ ]?|[ ](?=[\d.]))["']?(?:tensor\()?(?P<number>{_NUMBER})["']?
    [ ]?(?P<percent>%|percent|pct)?(?!\w|\.\w)""",
    re.IGNORECASE | re.VERBOSE,
)
"""Any name with a number: `val_acc_helpful=0.71`, `val/acc/helpful: 0.71`, `val_acc[helpful]=0.71`."""
