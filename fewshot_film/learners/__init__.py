"""Few-shot learners, one file per method, with their backbones, set encoder, heads and evaluation."""

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.bd_cspn import BDCSPN
from fewshot_film.learners.cnaps import CNAPS
from fewshot_film.learners.deep_emd import DeepEMD
from fewshot_film.learners.discriminants import LDA, QDA
from fewshot_film.learners.dn4 import DN4
from fewshot_film.learners.evaluation import evaluate
from fewshot_film.learners.feat import FEAT
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.fine_tuning import FineTuning
from fewshot_film.learners.fit import FiT
from fewshot_film.learners.frn import FRN
from fewshot_film.learners.ilpc import ILPC
from fewshot_film.learners.joined import JoinedBackbone
from fewshot_film.learners.label_propagation import LabelPropagation
from fewshot_film.learners.laplacian_shot import LaplacianShot
from fewshot_film.learners.learner import Adapted, FeatureClassifier, Head, Learner
from fewshot_film.learners.linear_svm import LinearSVM
from fewshot_film.learners.logistic_regression import LogisticRegression
from fewshot_film.learners.maml import ANIL, MAML, MetaSGD
from fewshot_film.learners.matching import MatchingNetworks
from fewshot_film.learners.networks import WeightsError, build_backbone
from fewshot_film.learners.prototypes import PrototypicalNetworks
from fewshot_film.learners.pt_map import PTMAP
from fewshot_film.learners.registry import CONFIGS, LEARNERS, build_learner, load_learner, save_learner
from fewshot_film.learners.relation import RelationNetworks
from fewshot_film.learners.ridge import RidgeRegression
from fewshot_film.learners.simple_cnaps import MahalanobisClassifier, SimpleCNAPS, fit_mahalanobis
from fewshot_film.learners.simple_shot import SimpleShot
from fewshot_film.learners.soft_kmeans import SoftKMeans
from fewshot_film.learners.support import SupportError
from fewshot_film.learners.sur import SUR
from fewshot_film.learners.svm import SVM
from fewshot_film.learners.tim import TIM, AlphaTIM
from fewshot_film.learners.transductive import TransductiveLearner
from fewshot_film.learners.transductive_cnaps import TransductiveCNAPS
from fewshot_film.learners.tsa import TSA
from fewshot_film.learners.url import URL
from fewshot_film.learners.wrapped import WrappedBackbone

__all__ = [
    "ANIL",
    "BDCSPN",
    "CNAPS",
    "CONFIGS",
    "DN4",
    "FEAT",
    "FRN",
    "ILPC",
    "LDA",
    "LEARNERS",
    "MAML",
    "PTMAP",
    "QDA",
    "SUR",
    "SVM",
    "TIM",
    "TSA",
    "URL",
    "Adapted",
    "AlphaTIM",
    "Backbone",
    "DeepEMD",
    "FeatureClassifier",
    "FiT",
    "FilmLearner",
    "FineTuning",
    "Head",
    "JoinedBackbone",
    "LabelPropagation",
    "LaplacianShot",
    "Learner",
    "LinearSVM",
    "LogisticRegression",
    "MahalanobisClassifier",
    "MatchingNetworks",
    "MetaSGD",
    "Preprocessing",
    "PrototypicalNetworks",
    "RelationNetworks",
    "RidgeRegression",
    "SimpleCNAPS",
    "SimpleShot",
    "SoftKMeans",
    "SupportError",
    "TransductiveCNAPS",
    "TransductiveLearner",
    "WeightsError",
    "WrappedBackbone",
    "build_backbone",
    "build_learner",
    "evaluate",
    "fit_mahalanobis",
    "load_learner",
    "save_learner",
]
