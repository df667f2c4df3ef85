"""Structural checks of model files, made before a library reads them: the libraries follow indices and sizes without looking at them.

Each module is pure: bytes or a parsed document in, `Fault` out when the file contradicts itself. What they check is what XGBoost 3.0 to 3.4
(src/tree, src/gbm, src/data/cat_container.cc) and LightGBM 4 (src/io/tree.cpp, src/boosting/gbdt_model_text.cpp) index by.
"""
