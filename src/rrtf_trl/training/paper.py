"""The paper that a model card cites."""

import textwrap

RRTF = {
    "title": "PanGu-Coder2: Boosting Large Language Models for Code with Ranking Feedback",
    "id": "2307.14936",
    "citation": textwrap.dedent("""\
        @article{shen2023pangucoder2,
            title   = {{PanGu-Coder2: Boosting Large Language Models for Code with Ranking Feedback}},
            author  = {Bo Shen and Jiaxin Zhang and Taihong Chen and Daoguang Zan and Bing Geng and An Fu and
                       Muhan Zeng and Ailun Yu and Jichuan Ji and Jingyang Zhao and Yuenan Guo and Qianxiang Wang},
            year    = 2023,
            journal = {arXiv preprint arXiv:2307.14936}
        }"""),
}
