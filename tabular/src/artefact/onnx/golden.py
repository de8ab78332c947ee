"""Makes golden/*.onnx and golden.json: small models as exporters write them, and what ONNX Runtime answers.

pip install scikit-learn skl2onnx lightgbm xgboost onnxmltools onnxruntime; then run it in this folder.
"""

import json
import warnings

import lightgbm
import numpy as np
import onnxmltools
import onnxruntime
import pandas
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (MinMaxScaler, Normalizer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures,
                                   PowerTransformer, StandardScaler)
from sklearn.svm import SVC, SVR, LinearSVC

warnings.filterwarnings("ignore")
rng = np.random.RandomState(7)
N = 300
age = rng.randint(18, 80, N).astype("float32")
income = np.exp(rng.normal(8, 1, N)).astype("float32")
income[rng.rand(N) < 0.1] = np.nan
income[3] = np.nan
children = rng.randint(0, 5, N)
job = rng.choice(["clerk", "farmer", "pilot"], N)
logit = 0.05 * (age - 50) + (job == "farmer") - 0.0001 * np.nan_to_num(income, nan=3000)
bad = (rng.rand(N) < 1 / (1 + np.exp(-logit))).astype(int)
amount = (age * 2 + 10 * (job == "pilot") + rng.rand(N)).astype("float32")
frame = pandas.DataFrame({"age": age, "income": income, "children": children, "job": job})
types = [("age", FloatTensorType([None, 1])), ("income", FloatTensorType([None, 1])),
         ("children", Int64TensorType([None, 1])), ("job", StringTensorType([None, 1]))]
wide = np.column_stack([age, np.nan_to_num(income), children]).astype("float32")
opsets = {"": 17, "ai.onnx.ml": 3}
shown = list(range(12))
golden = {"rows": [{"age": float(age[i]), "income": None if np.isnan(income[i]) else float(income[i]),
                    "children": int(children[i]), "job": str(job[i])} for i in shown],
          "wide": [[float(v) for v in wide[i]] for i in shown], "scores": {}}


def save(name, model, feeds):
    model.ClearField("doc_string")
    for part in [*model.graph.node]:
        for attribute in [*part.attribute]:
            if attribute.name.startswith("nodes_hitrates"):
                part.attribute.remove(attribute)
    with open(f"golden/{name}.onnx", "wb") as file:
        file.write(model.SerializeToString())
    outputs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    scores = outputs[-1]
    if isinstance(scores, list):
        scores = [row[sorted(row)[-1]] for row in scores]
    scores = np.asarray(scores).reshape(len(shown), -1)[:, -1]
    golden["scores"][name] = [float(score) for score in scores]


def columns(name, numbers, words, model, target, **more):
    steps = ColumnTransformer([("n", numbers, ["age", "income", "children"]), ("w", words, ["job"])])
    fitted = make_pipeline(steps, model).fit(frame, target)
    exported = convert_sklearn(fitted, initial_types=types, target_opset=opsets, **more)
    feeds = {"age": age[shown, None], "income": income[shown, None],
             "children": children[shown, None].astype("int64"), "job": job[shown, None].astype(object)}
    save(name, exported, feeds)


def matrix(name, exported):
    save(name, exported, {exported.graph.input[0].name: wide[shown]})


one_hot = OneHotEncoder(handle_unknown="ignore")
scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
columns("logistic", scaled, one_hot, LogisticRegression(), bad)
columns("logistic_plain", scaled, one_hot, LogisticRegression(), bad, options={"zipmap": False})
columns("forest", SimpleImputer(), one_hot, RandomForestClassifier(4, max_depth=4, random_state=0),
        np.where(bad == 1, "bad", "ok"))
columns("ordinal_boosting", SimpleImputer(), OrdinalEncoder(), GradientBoostingRegressor(n_estimators=8), amount)
columns("ridge", make_pipeline(SimpleImputer(), MinMaxScaler()), one_hot, Ridge(), amount)
columns("svc", scaled, one_hot, SVC(probability=True, C=0.1, random_state=0), bad)
columns("svr", scaled, one_hot, SVR(), amount)
columns("network", scaled, one_hot, MLPClassifier((3,), max_iter=60, random_state=0), bad)
columns("ada", SimpleImputer(), one_hot, AdaBoostClassifier(n_estimators=3, random_state=0), bad)
columns("calibrated", scaled, one_hot, CalibratedClassifierCV(LinearSVC(), cv=2), bad)
columns("powers", make_pipeline(SimpleImputer(), PowerTransformer(), PolynomialFeatures(2)), one_hot,
        LogisticRegression(), bad)
columns("normalized", make_pipeline(SimpleImputer(), Normalizer()), one_hot, LogisticRegression(), bad)
matrix("bayes", convert_sklearn(GaussianNB().fit(wide, bad), initial_types=[("X", FloatTensorType([None, 3]))],
                                target_opset=opsets))
tools = [("input", ToolsFloat([None, 3]))]
small = {"n_estimators": 6, "max_depth": 3}
matrix("lightgbm", onnxmltools.convert_lightgbm(lightgbm.LGBMClassifier(verbose=-1, **small).fit(wide, bad),
                                                initial_types=tools, target_opset=15))
matrix("lightgbm_numbers", onnxmltools.convert_lightgbm(lightgbm.LGBMRegressor(verbose=-1, **small).fit(wide, amount),
                                                        initial_types=tools, target_opset=15))
matrix("xgboost", onnxmltools.convert_xgboost(xgboost.XGBClassifier(**small).fit(wide, bad), initial_types=tools,
                                              target_opset=15))
matrix("xgboost_numbers", onnxmltools.convert_xgboost(xgboost.XGBRegressor(**small).fit(wide, amount),
                                                      initial_types=tools, target_opset=15))
# What is refused: three classes, and an operator that is not known.
three = np.digitize(amount, [60, 110])
for name, model in [("three_classes", LogisticRegression(max_iter=50).fit(wide, three)),
                    ("neighbours", KNeighborsClassifier(2).fit(wide[:9], bad[:9]))]:
    exported = to_onnx(model, wide[:1], target_opset=opsets)
    with open(f"golden/{name}.onnx", "wb") as file:
        file.write(exported.SerializeToString())
with open("golden.json", "w") as file:
    json.dump(golden, file, indent=0)
    file.write("\n")
