"""MMDG++ on one page: the whole method in plain PyTorch, to be read from top to bottom.

MMDG++ (Lin et al., IEEE TPAMI 47(9), 2025, https://doi.org/10.1109/TPAMI.2025.3573785) decides
whether a face is live or a spoof from three images: RGB, depth and infrared. A frozen CLIP encodes
each image. Beside every block of CLIP, small adapters (U-Adapter++) pass information between the
modalities, weighted by certainty. Learnable prompts (ADPs) describe live faces and spoofs to CLIP's
text side. ReGrad balances the gradients of the three modalities' losses.
Shapes: B samples; N tokens, the class token and then the patches of a square grid; C width of the
image side of CLIP; D width of the space that images and texts share; S source domains.
"""

import torch
from einops import rearrange, reduce, repeat
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, normalize
from torch.optim import Optimizer

MODALITIES = ("rgb", "depth", "infrared")
OTHERS = {m: [j for j in MODALITIES if j != m] for m in MODALITIES}
DIM = 8  # d, width of an adapter
HEADS = 8  # H, attention heads of an adapter
DRAWS = 50  # K, draws of each query in training
RATE = 2.5  # r, how fast certainty falls with variance
THETA = 0.5  # share of the central difference in a convolution
CONTEXT = 5  # n, learnable vectors in a prompt
MOMENTUM = 0.5  # of the moving averages of the losses
Values = dict[str, Tensor]  # one tensor per modality
Random = tuple[Tensor, Tensor, Tensor] | None  # noise for b and for a, K x B x N x d; selection
quick_gelu = QuickGELU()  # x * sigmoid(1.702 x)


def certainty(u: Tensor) -> Tensor:
    """Certainty in (0, 1] of queries with variance u."""
    return torch.exp(-RATE * u)  # U = exp(-r u)


def sample(mean: Tensor, log_variance: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
    """Each token's query, B x N x d, and its variance u without gradient, B x N x 1."""
    if noise is None:  # evaluation: the expectations mu and s^2
        return mean, log_variance.exp().mean(dim=-1, keepdim=True).detach()
    draws = mean + torch.exp(log_variance / 2) * noise  # training: q_k = mu + s e_k, K x B x N x d
    return draws.mean(dim=0), draws.var(dim=0).mean(dim=-1, keepdim=True).detach()


class CertaintyAttention(nn.Module):
    """Attention over the receiver's tokens a; every query is the sender's, from b, or a's own."""

    def __init__(self) -> None:
        super().__init__()
        self.query_sender = nn.Linear(DIM, DIM, bias=False)  # W_1
        self.query_receiver = nn.Linear(DIM, DIM, bias=False)  # W_2
        self.mean_sender = nn.Linear(DIM, DIM, bias=False)  # M_1
        self.mean_receiver = nn.Linear(DIM, DIM, bias=False)  # M_2
        self.log_variance_sender = nn.Linear(DIM, DIM, bias=False)  # S_1
        self.log_variance_receiver = nn.Linear(DIM, DIM, bias=False)  # S_2
        self.key = nn.Linear(DIM, DIM, bias=False)
        self.value = nn.Linear(DIM, DIM, bias=False)
        self.out = nn.Linear(DIM, DIM)

    def forward(self, b: Tensor, a: Tensor, random: Random = None) -> tuple[Tensor, Tensor]:
        if random is None and self.training:
            draws = a.expand(DRAWS, *a.shape)  # K x B x N x d, for its shape only
            random = torch.randn_like(draws), torch.randn_like(draws), torch.rand_like(a[..., :1])
        noise_b, noise_a, selection = random or (None, None, None)  # evaluation needs none
        q_b = self.query_sender(b)  # q_b = W_1 b: B x N x d
        q_a = self.query_receiver(a)  # q_a = W_2 a
        q_b, u_b = sample(self.mean_sender(q_b), self.log_variance_sender(q_b), noise_b)
        q_a, u_a = sample(self.mean_receiver(q_a), self.log_variance_receiver(q_a), noise_a)
        chance_b = torch.sigmoid(RATE * (u_a - u_b))  # U_b / (U_b + U_a): B x N x 1
        take_b = chance_b > (0.5 if selection is None else selection)  # evaluation: if U_b > U_a
        U = certainty(torch.where(take_b, u_b, u_a))
        q = rearrange(torch.where(take_b, q_b, q_a), "b n (h e) -> b h n e", h=HEADS)
        k = rearrange(self.key(a), "b n (h e) -> b h n e", h=HEADS)
        v = rearrange(self.value(a), "b n (h e) -> b h n e", h=HEADS)
        logits = U[:, None] * (q @ k.mT) / (DIM / HEADS) ** 0.5  # U q k^T / sqrt(d / H)
        return self.out(rearrange(logits.softmax(dim=-1) @ v, "b h n e -> b n (h e)")), U


class CentralDifferenceConv2d(nn.Module):
    """A 3 x 3 convolution that also responds to how a pixel differs from its surroundings."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(DIM, DIM, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # B x d x h x w
        summed = self.conv.weight.sum(dim=(2, 3), keepdim=True)  # d x d x 1 x 1
        return self.conv(x) - THETA * conv2d(x, summed)  # conv3x3(x) - theta conv1x1(x; summed)


class UAdapterPP(nn.Module):
    """U-Adapter++: an update of a receiver's tokens h, guided by a sender's tokens c."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down_receiver = nn.Linear(width, DIM)  # W_kv
        self.down_sender = nn.Linear(width, DIM)  # W_q
        self.norm_receiver = nn.LayerNorm(DIM)  # LN_kv
        self.norm_sender = nn.LayerNorm(DIM)  # LN_q
        self.attention = CertaintyAttention()
        self.mlp = nn.Linear(DIM, DIM)  # W_mlp
        self.convolution = CentralDifferenceConv2d()
        self.up = nn.Linear(DIM, width)  # W_up
        for linear in (self.down_receiver, self.down_sender, self.mlp, self.up):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.up.weight)  # the update starts at zero: training starts at CLIP itself

    def forward(self, h: Tensor, c: Tensor, random: Random = None) -> tuple[Tensor, Tensor]:
        a = self.norm_receiver(quick_gelu(self.down_receiver(h)))  # a = LN_kv(QuickGELU(W_kv h))
        b = self.norm_sender(quick_gelu(self.down_sender(c)))  # b = LN_q(QuickGELU(W_q c))
        attended, U = self.attention(b, a, random)
        y = a + attended  # B x N x d
        y = y + self.mlp(self.norm_sender(y))  # y = y + W_mlp LN_q(y)
        patches = rearrange(y[:, 1:], "b (h w) d -> b d h w", h=round((y.shape[1] - 1) ** 0.5))
        patches = rearrange(self.convolution(patches), "b d h w -> b (h w) d")
        class_token = self.convolution(rearrange(y[:, :1], "b 1 d -> b d 1 1"))
        y = torch.cat([rearrange(class_token, "b d 1 1 -> b 1 d"), patches], dim=1)  # y = CDC(y)
        return self.up(quick_gelu(y)), U  # W_up QuickGELU(y): B x N x C


def exchange(block: ResidualAttentionBlock, adapters: dict, x: Values, random: dict) -> tuple:
    """One block of CLIP with its adapters: tokens x, B x N x C, and certainties U, B x N x 1."""
    x = {m: x[m] + block.attention(block.ln_1(x[m])) for m in MODALITIES}  # x = x + Attn(LN1(x))
    h = {m: block.ln_2(x[m]) for m in MODALITIES}  # h = LN2(x)
    U = {}
    for m, (j, k) in OTHERS.items():  # m receives, j and k send
        from_j, U_j = adapters[m](h[m], h[j], random.get((m, j)))  # Adapter_m(h_m, h_j)
        from_k, U_k = adapters[m](h[m], h[k], random.get((m, k)))  # Adapter_m(h_m, h_k)
        x[m] = x[m] + block.mlp(h[m]) + from_j + from_k  # x = x + MLP(h) + the adapters' updates
        U[m] = (U_j + U_k) / 2
    return x, U


class AsymmetricDomainPrompts(nn.Module):
    """ADPs: text features of 1 + S classes; 0 is live in any domain, s is spoof in domain s."""

    def __init__(self, clip: CLIP, sentences: dict, domains: int) -> None:
        super().__init__()
        tokenize = SimpleTokenizer(context_length=clip.context_length)
        self.placeholder = tokenize.encode("x")[0]
        self.ids = {m: tokenize(live + domains * spoof) for m, (live, spoof) in sentences.items()}
        shape = (1 + domains, CONTEXT, clip.token_embedding.embedding_dim)
        self.contexts = nn.ParameterDict({m: torch.randn(shape) for m in MODALITIES})

    def forward(self, clip: CLIP) -> Values:
        t = {}
        for m, contexts in self.contexts.items():  # (1 + S) x n x width
            ids = self.ids[m].to(contexts.device)  # (classes sentences) x tokens
            x = clip.token_embedding(ids)
            s = len(ids) // len(contexts)  # sentences per class
            x[ids == self.placeholder] = repeat(contexts, "c n w -> (c s n) w", s=s)  # v_1 ... v_n
            x = clip.transformer(x + clip.positional_embedding, attn_mask=clip.attn_mask)
            end = ids.argmax(dim=-1)  # the end-of-text token has the largest id
            x = clip.ln_final(x[torch.arange(len(x)), end]) @ clip.text_projection
            t[m] = normalize(reduce(x, "(c s) d -> c d", "mean", s=s), dim=-1)  # (1 + S) x D
        return t


class MMDGPlusPlus(nn.Module):
    """The model. `sentences[m]`: lists about live faces and about spoofs; all end in n words x."""

    def __init__(self, clip: CLIP, sentences: dict, domains: int) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False)
        v = clip.visual
        C, D = v.proj.shape
        self.class_tokens = nn.ParameterDict({m: v.class_embedding.clone() for m in MODALITIES})
        self.positions = nn.ParameterDict({m: v.positional_embedding.clone() for m in MODALITIES})
        self.projections = nn.ParameterDict({m: v.proj.clone() for m in MODALITIES})
        self.prompts = AsymmetricDomainPrompts(clip, sentences, domains)
        self.adapters = nn.ModuleDict()
        for m in MODALITIES:
            self.adapters[m] = nn.ModuleList(UAdapterPP(C) for _ in v.transformer.resblocks)
        self.head = nn.Linear(len(MODALITIES) * D, 2)

    def forward(self, images: Values, random: tuple = ()) -> tuple:
        """Images B x 3 x h x w to logits B x 2 (spoof, live), text logits B x (1 + S) and U."""
        v = self.clip.visual
        x = {}
        for m in MODALITIES:
            patches = rearrange(v.conv1(images[m]), "b c h w -> b (h w) c")
            class_token = repeat(self.class_tokens[m], "c -> b 1 c", b=len(patches))
            x[m] = v.ln_pre(torch.cat([class_token, patches], dim=1) + self.positions[m])
        for i, block in enumerate(v.transformer.resblocks):
            adapters = {m: self.adapters[m][i] for m in MODALITIES}  # type: ignore[index]
            x, U = exchange(block, adapters, x, random[i] if random else {})
        f = {m: normalize(v.ln_post(x[m][:, 0]) @ self.projections[m], dim=-1) for m in MODALITIES}
        t = self.prompts(self.clip)
        text_logits = {m: self.clip.logit_scale.exp() * f[m] @ t[m].T for m in MODALITIES}
        logits = self.head(torch.cat([f[m] for m in MODALITIES], dim=-1))  # B x 2
        return logits, text_logits, {m: U[m][:, 0].mean() for m in MODALITIES}

    def branch(self, m: str) -> list[nn.Parameter]:
        """The trainable parameters of modality m. The head belongs to no modality."""
        tokens = [self.class_tokens[m], self.positions[m], self.projections[m]]
        return [*tokens, self.prompts.contexts[m], *self.adapters[m].parameters()]


def losses(logits: Tensor, text_logits: Values, label: Tensor, domain: Tensor) -> Values:
    """L_m of each modality over the 1 + S classes, and L_total of the head. Label 1 is live."""
    target = torch.where(label == 1, 0, 1 + domain)
    L = {m: cross_entropy(text_logits[m], target) for m in MODALITIES}
    return L | {"total": cross_entropy(logits, label)}


def find_fastest(averages: dict[str, float], L: Values) -> str | None:
    """Update the losses' moving averages, 0 at first. The fastest modality has the lowest one."""
    for m in MODALITIES:
        averages[m] = MOMENTUM * averages[m] + (1 - MOMENTUM) * L[m].item()
    first, second, _ = sorted(MODALITIES, key=lambda m: averages[m])
    return first if averages[first] < averages[second] else None  # a tie gives none


def project(g: Tensor, base: Tensor) -> Tensor:
    """T(g onto base): the part of g along base if the two agree, across base if they conflict."""
    dot, square = (g * base).sum(), (base * base).sum()
    along = dot / square * base if square > 0 else torch.zeros_like(base)
    return along if dot > 0 else g - along


def regrad(g: Values, m: str, fastest: str | None, U: Values) -> Tensor:
    """Modulated gradient of a parameter of branch m, from its gradients g_j of the losses L_j."""
    j, k = OTHERS[m]
    if sum(bool(g[i].any()) for i in MODALITIES) < 2:  # a single loss: nothing to balance
        return g[m] + g[j] + g[k]
    if m == fastest:
        return U[m] * project(g[m], g[j] + g[k]) + g[j] + g[k]
    return g[m] + U[j] * project(g[j], g[m]) + U[k] * project(g[k], g[m])


def train_step(
    model: MMDGPlusPlus, optimiser: Optimizer, averages: dict, batch: Values, random: tuple = ()
) -> dict[str, float]:
    """One step on a batch of images, label and domain (from 0); returns the losses."""
    logits, text_logits, U = model(batch, random)
    L = losses(logits, text_logits, batch["label"], batch["domain"])
    fastest = find_fastest(averages, L)
    params = [p for p in model.parameters() if p.requires_grad]
    g = {i: torch.autograd.grad(L[i], params, retain_graph=True, materialize_grads=True) for i in L}
    branch = {p: m for m in MODALITIES for p in model.branch(m)}
    for n, p in enumerate(params):
        p.grad = g["total"][n]  # not modulated
        if p in branch:
            p.grad = p.grad + regrad({j: g[j][n] for j in MODALITIES}, branch[p], fastest, U)
    optimiser.step()
    return {i: L[i].item() for i in L}
