from .ablation import Ablation as Ablation
from .ablation import ablate as ablate
from .attribution import attribution_patch as attribution_patch
from .metrics import first_difference as first_difference
from .path import path_patch as path_patch
from .path import path_patch_sweep as path_patch_sweep
from .sweep import gap_shares as gap_shares
from .sweep import patch_sweep as patch_sweep
